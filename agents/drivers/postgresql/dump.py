"""A dump under way: pg_dump's or pg_dumpall's standard output, and whether it is whole."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from agents.drivers.base import PlannedArtifact
from agents.drivers.postgresql.attributes import GLOBALS_KIND
from agents.drivers.postgresql.connection import session
from agents.drivers.postgresql.counts import Relation, count_rows
from agents.drivers.postgresql.discovery import ClusterFacts, look_at_cluster
from agents.drivers.postgresql.errors import dump_failed, warnings_in
from agents.drivers.postgresql.held_session import held_session
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import database_conninfo
from agents.drivers.postgresql.redaction import redactor
from agents.drivers.postgresql.tally import RECOUNT_BUDGET_S, Tally
from agents.drivers.postgresql.tools import Tool, find_tool
from agents.drivers.programs import ProgramDump
from agents.processes import Child, Command, start, until_readable
from contracts.errors import RunFailed, StrongroomError

log = structlog.get_logger()

CUSTOM_MAGIC: Final = b"PGDMP"
SMALLEST_CUSTOM_DUMP: Final = 256
"""The header and the three entries that every dump has; a dump of an empty database has 852 bytes in version 15."""
GLOBALS_HEAD: Final = b"-- PostgreSQL database cluster dump"
GLOBALS_MARK: Final = b"-- PostgreSQL database cluster dump complete"


class PostgreSQLDump(ProgramDump):
    """`DumpSource` of one artifact."""

    def __init__(
        self,
        child: Child,
        artifact: PlannedArtifact,
        *,
        psql: Psql,
        was_replica: bool,
        lock_timeout_s: int,
        counting: asyncio.Task[None] | None = None,
    ) -> None:
        super().__init__(child)
        self._artifact = artifact
        self._psql = psql
        self._was_replica = was_replica
        self._lock_timeout_s = lock_timeout_s
        self._counting = counting

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        """The program's warnings.  Raises: RunFailed `dump.failed`, `dump.incomplete`, `engine.*`."""
        program = self._child.command.name
        status = await self.exit_status()
        if not status.ok:
            name = self._artifact.name if self._artifact.kind != GLOBALS_KIND else self._psql.connection.database
            raise dump_failed(program, status, self._child.stderr, self._psql.connection, name, self._lock_timeout_s)
        why = missing_mark(self._artifact.kind, plain_bytes, head, tail)
        self.require_whole(f"dump of {self._artifact.name!r}", why)
        if self._counting is not None:
            await asyncio.shield(self._counting)
        return [*warnings_in(self._child.stderr, program), *await self._check_role()]

    async def _check_role(self) -> list[str]:
        if not self._was_replica:
            return []
        try:
            if (await look_at_cluster(self._psql)).in_recovery:
                return []
            what = "the replica became the primary during the dump"
        except StrongroomError as exc:
            what = f"after the dump the replica could not be asked whether it still is one ({exc.message})"
        return [f"{self._artifact.name!r}: {what}; the dump is whole nevertheless"]


def missing_mark(kind: str, plain_bytes: int, head: bytes, tail: bytes) -> str:
    """Why these cannot be the size, the beginning and the end of a whole dump; empty when they can."""
    if plain_bytes == 0:
        return "it wrote nothing"
    if kind == GLOBALS_KIND:
        if GLOBALS_HEAD not in head:
            return "the first lines are not pg_dumpall's"
        return "" if GLOBALS_MARK in tail else "the completion mark at the end is missing"
    if not head.startswith(CUSTOM_MAGIC):
        return "it does not begin as an archive of pg_dump"
    return f"it has only {plain_bytes} bytes" if plain_bytes < SMALLEST_CUSTOM_DUMP else ""


@asynccontextmanager
async def start_dump(
    psql: Psql, artifact: PlannedArtifact, *, lock_timeout_s: int, tally: Tally | None = None
) -> AsyncIterator[PostgreSQLDump]:
    """The dump under way; leaving ends it.  Rows that `tally` knows are counted in its snapshot.

    Raises: RunFailed `engine.*`.
    """
    cluster = await look_at_cluster(psql)
    if artifact.kind == GLOBALS_KIND:
        tool = await find_tool("pg_dumpall", psql.connection.bin_dir, at_least=cluster.major)
        argv = _dump_globals(tool, psql.connection.database, with_passwords=cluster.reads_role_passwords)
        database = psql.connection.database
    else:
        tool = await find_tool("pg_dump", psql.connection.bin_dir, at_least=cluster.major)
        argv = _dump_database(tool, lock_timeout_s)
        database = artifact.name
        _require_database(cluster, database)
    async with AsyncExitStack() as stack:
        snapshot = ""
        if artifact.kind != GLOBALS_KIND and tally is not None:
            if _has_room(cluster, database, tally.sessions):
                snapshot = await _exported_snapshot(stack, psql, database)
            argv = [*argv, f"--snapshot={snapshot}"] if snapshot else argv
        opened = stack.enter_context(session(psql.connection, database, psql.runtime_dir))
        command = Command(
            argv=argv,
            package="postgresql-client",
            env=opened.env,
            pass_fds=opened.pass_fds,
            redact=redactor(opened.password),
        )
        child = await stack.enter_async_context(start(command, stdout=True))
        counting = None
        if artifact.kind != GLOBALS_KIND and tally is not None:
            counting = asyncio.create_task(_count(psql, child, tally, database, snapshot), name=f"count:{database}")
            stack.push_async_callback(_ended, counting)
        yield PostgreSQLDump(
            child,
            artifact,
            psql=psql,
            was_replica=cluster.in_recovery,
            lock_timeout_s=lock_timeout_s,
            counting=counting,
        )


def _has_room(cluster: ClusterFacts, database: str, sessions: int) -> bool:
    """Whether that many sessions are allowed to us: counting must not take the one that the dump needs."""
    found = cluster.database(database)
    limits = (cluster.session_limit, found.connection_limit if found is not None else -1)
    return all(limit < 0 or limit >= sessions for limit in limits)


async def _exported_snapshot(stack: AsyncExitStack, psql: Psql, database: str) -> str:
    """The name of a snapshot that lasts as long as `stack`; empty where there can be none, since dumps do without."""
    statements = ["BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "SELECT pg_export_snapshot()"]
    holding = held_session(psql, statements, "exporting a snapshot", database=database)
    try:
        return await stack.enter_async_context(holding)
    except RunFailed as exc:  # if anything is wrong with the server, pg_dump will find it, too
        log.warning("dump.snapshot_refused", database=database, code=exc.code, reason=exc.message)
        return ""


async def _count(psql: Psql, child: Child, tally: Tally, database: str, snapshot: str) -> None:
    """Counts once pg_dump has locked the tables, so that nobody can truncate one between its count and its dump."""
    rows: dict[Relation, int] = {}
    if snapshot:
        output = os.dup(child.stdout_fd)  # others may be waiting for the same descriptor
        try:
            await until_readable(output)
        finally:
            os.close(output)
        rows = await count_rows(psql, database, tally.counted(database), budget_s=RECOUNT_BUDGET_S, snapshot=snapshot)
    tally.set_rows(database, rows)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # told by `finish`, or of no interest


def _dump_database(tool: Tool, lock_timeout_s: int) -> Sequence[str]:
    """The database itself is named by PGDATABASE: no name can be mistaken for an option or for conninfo there."""
    return [
        tool.path,
        "--format=custom",
        "--compress=0",  # zstd does it better, and in a thread of ours
        "--no-password",
        f"--lock-wait-timeout={lock_timeout_s * 1000}",
    ]


def _dump_globals(tool: Tool, database: str, *, with_passwords: bool) -> Sequence[str]:
    argv = [tool.path, "--globals-only", "--no-password", "--encoding=UTF8", f"--database={database_conninfo(database)}"]
    return argv if with_passwords else [*argv, "--no-role-passwords"]


def _require_database(cluster: ClusterFacts, name: str) -> None:
    # pg_dump would say so as well, but in the server's language.
    if cluster.database(name) is None:
        raise RunFailed(
            "engine.database_not_found", f"database {name!r} has been dropped or renamed since the plan was made"
        )
