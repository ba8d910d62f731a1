"""Each engine's backup and restore beside what people build of the engine's own best tool, on the same data.

Ours is the whole way: driver, compression, encryption, an object in the store, and back.  The peer is the tool in a pipeline
with zstd, age and rclone, for the same store; where a restore has steps after the pipeline, they are counted on both sides.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec

from contracts.age import Identity
from scripts.benches.cost import Cost
from scripts.benches.engine_case import Case, Prepare
from scripts.benches.engine_child import Place, Told
from scripts.benches.peer_side import Pipeline
from scripts.benches.rows import Row, row, say
from tests.servers.directories import server_directory
from tests.servers.s3 import Bucket, S3Server

SUMMARY = "every engine's backup and restore beside its own best tool in a pipeline of zstd, age and rclone"
_CASES: Final = {
    "postgresql": "engine_postgresql",
    "mariadb": "engine_mariadb",
    "nats": "engine_nats",
    "shared-storage": "engine_files",
    "elasticsearch": "engine_elasticsearch",
}
"""Modules, each with `cases(size_mib) -> Iterator[tuple[str, Prepare]]`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size-mib", type=int, help="of the data; default 256, quick 32")
    parser.add_argument("--repetitions", type=int, help="of each side, in turns; default 3, quick 1")
    parser.add_argument("--engine", action="append", choices=list(_CASES), help="only this one; may be repeated")


def run(options: argparse.Namespace) -> Iterator[Row]:
    size_mib = options.size_mib or (32 if options.quick else 256)
    repetitions = options.repetitions or (1 if options.quick else 3)
    with ExitStack() as stack:
        store = S3Server(stack.enter_context(server_directory("s3")))
        stack.callback(store.kill)
        store.start()
        for engine in options.engine or _CASES:
            module = import_module(f"scripts.benches.{_CASES[engine]}")
            for name, prepare in module.cases(size_mib):
                yield from asyncio.run(_measure(name, prepare, store, repetitions))


async def _measure(name: str, prepare: Prepare, store: S3Server, repetitions: int) -> list[Row]:
    say(f"{name}: filling it")
    async with AsyncExitStack() as stack:
        # Not below /tmp's private directories: servers run as other users and have to get to their files.
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strongroom-bench-")))
        directory.chmod(0o711)
        case = await stack.enter_async_context(prepare(directory))
        bucket = store.create_bucket()
        identity = Identity.generate()
        identity_file = directory / "identity.txt"
        identity_file.write_text(identity.reveal() + "\n")
        peer = Pipeline(bucket, str(identity.recipient))
        child = await stack.enter_async_context(_running(case, bucket, directory))
        costs: dict[tuple[str, str], list[Cost]] = {}
        for _ in range(repetitions):
            # A B A B: whatever else the machine does meets both sides.
            costs.setdefault(("backup", "ours"), []).append(await child.told("backup"))
            theirs = await case.peer_backup(peer) if case.peer_backup else None
            if theirs is not None:
                costs.setdefault(("backup", "peer"), []).append(theirs)
            await case.make_room()
            costs.setdefault(("restore", "ours"), []).append(await child.told("restore"))
            await case.check_restored()
            if case.peer_restore:
                await case.make_room()
                costs.setdefault(("restore", "peer"), []).append(await case.peer_restore(peer, str(identity_file)))
            for (step, side), measured in costs.items():
                say(f"  {step} {side} {measured[-1]}")
        bucket.remove()
    return [
        row(
            f"{name}: {step}",
            metric,
            "s",
            [getattr(cost, field) for cost in costs[step, "ours"]],
            case.peer_name if (step, "peer") in costs else "",
            [getattr(cost, field) for cost in costs.get((step, "peer"), [])],
        )
        for step in ("backup", "restore")
        for metric, field in (("wall", "wall_s"), ("cpu", "cpu_s"))
    ]


class _Child:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def told(self, action: str) -> Cost:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(Told(action=action)) + b"\n")
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit(f"our side ended in the middle of a {action}")
        return msgspec.json.decode(line, type=Cost)


@asynccontextmanager
async def _running(case: Case, bucket: Bucket, directory: Path) -> AsyncIterator[_Child]:
    server = bucket.server
    ours = directory / "ours"
    ours.mkdir(mode=0o700)
    place = Place(
        connection=case.connection,
        options=case.options,
        target=case.target,
        endpoint_url=server.endpoint_url,
        bucket=bucket.name,
        region=server.region,
        access_key=server.access_key,
        secret_key=server.secret_key,
        directory=str(ours),
    )
    path = ours / "place.json"
    path.write_bytes(msgspec.json.encode(place))
    path.chmod(0o600)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "scripts.benches.engine_child",
        str(path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield _Child(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
