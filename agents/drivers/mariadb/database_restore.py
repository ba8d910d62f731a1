"""Restoring one database: beside the target under another name, and into its place only when it is whole.

pipe ─▶ splitter ┬▶ mariadb ─▶ orders__restoring_20261122t000512zk7xq ┐
                 └▶ events, routines, views ──────────────────────────┴▶ orders
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from agents.drivers.base import Confirm
from agents.drivers.mariadb.attributes import parse_attributes
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.databases import REPLACED as REPLACED_MARK
from agents.drivers.mariadb.databases import UNFINISHED, Names, create_scratch, drop_databases
from agents.drivers.mariadb.naming import UNFINISHED_NAMES, target_names
from agents.drivers.mariadb.objects import schemas_beginning
from agents.drivers.mariadb.placing import Placing
from agents.drivers.mariadb.server import look_at_server
from agents.drivers.mariadb.splitting import DumpSplitter
from agents.drivers.mariadb.tools import find_program
from agents.drivers.pipes import PipedRestore, PipeReader, piped_restore
from agents.drivers.renaming import REPLACED, RESTORING
from agents.processes import Command, run, uncancelled
from contracts.errors import Corrupt, RunFailed
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

log = structlog.get_logger()

_HELP_TIMEOUT_S: Final = 10.0


@asynccontextmanager
async def start_database_restore(
    client: Client, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, work_dir: Path, confirm: Confirm
) -> AsyncIterator[PipedRestore]:
    """Raises: RunFailed `engine.*`, `restore.failed`.  Leaving before `finish` returned leaves the target as it was."""
    attributes = parse_attributes(artifact)
    rename = {name: new for name, new in target.rename.items() if name == artifact.name}
    facts = await look_at_server(client)
    name = target_names([artifact], _renaming(target, rename), lower_case=facts.lower_case_table_names > 0)[artifact.name]
    names = Names(
        target=name,
        scratch=UNFINISHED_NAMES.scratch(name, run_id),
        replaced=UNFINISHED_NAMES.replaced(name, run_id),
        run_id=run_id,
    )
    await drop_databases(client, await leftovers(client, name, RESTORING, UNFINISHED))
    knows_sandbox = await _knows_sandbox(client)
    exchange = Placing(client, names, attributes, replace=target.replace)
    defaults = (artifact.name, names.scratch) if attributes.sequence_defaults else None

    with DumpSplitter(work_dir, knows_sandbox=knows_sandbox, rename=defaults) as splitter:

        async def consume(pipe: PipeReader) -> None:
            async with client.loading(names.scratch, name) as loader:
                while data := await pipe.read():
                    await loader.write(splitter.feed(data))
                await loader.write(splitter.end())
                why = splitter.missing()
                if why:
                    raise Corrupt("artifact.corrupt", f"the dump of database {artifact.name!r} is not whole: {why}")
                await loader.finish()

        async def place() -> Attributes:
            await uncancelled(exchange.place(splitter), name=f"restore:place:{name}")
            log.info("restore.in_place", database=name, replaced=exchange.replaced_something)
            return {"database": name, "replaced": exchange.replaced_something, "warnings": exchange.warnings}

        sink: PipedRestore | None = None
        try:
            await uncancelled(create_scratch(client, names, attributes), name=f"restore:create:{names.scratch}")
            async with piped_restore(consume, place, name=name, confirm=confirm) as sink:
                yield sink
        finally:
            finished = sink is not None and sink.is_finished
            await uncancelled(_leave(client, names, exchange, finished=finished), name=f"restore:leave:{name}")


async def leftovers(client: Client, target: str, infix: str, mark: str) -> list[str]:
    """Databases of earlier restores to this target that were cut off, by name and by our mark."""
    found = await schemas_beginning(client, UNFINISHED_NAMES.prefix(target, infix))
    return [schema.name for schema in found if schema.comment.startswith(mark)]


async def _leave(client: Client, names: Names, exchange: Placing, *, finished: bool) -> None:
    drops = [names.scratch]
    if finished:
        # Also those of an earlier attempt that was killed in the middle of the exchange: what they held is replaced now.
        drops += [names.replaced, *await _replaced_before(client, names)]
    else:
        await exchange.undo()
        if not exchange.is_stuck:
            drops.append(names.replaced)
    await drop_databases(client, list(dict.fromkeys(drops)))


async def _replaced_before(client: Client, names: Names) -> list[str]:
    try:
        return await leftovers(client, names.target, REPLACED, REPLACED_MARK)
    except RunFailed as exc:
        log.error("restore.left_behind", target=names.target, code=exc.code, reason=exc.message)
        return []


async def _knows_sandbox(client: Client) -> bool:
    """Whether the client can be forbidden to leave the database for files and programs."""
    command = Command(argv=[find_program("mariadb", client.connection.bin_dir), "--no-defaults", "--help"])
    try:
        return b"--sandbox" in (await run(command, timeout_s=_HELP_TIMEOUT_S)).stdout
    except TimeoutError:
        return False


def _renaming(target: RestoreTarget, rename: dict[str, str]) -> RestoreTarget:
    return RestoreTarget(project=target.project, service=target.service, node=target.node, rename=rename)
