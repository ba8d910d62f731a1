"""A physical backup under way: pg_basebackup's standard output, and whether it is whole.

The archive begins with `backup_label` and ends with `backup_manifest` and two empty blocks, which pg_basebackup writes when
it has had everything from the server.  That there is a manifest in the middle of which nothing is missing, its exit status
says; the mark at the end says that all it wrote came through.
"""

from __future__ import annotations

import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from agents.drivers.base import PlannedArtifact
from agents.drivers.postgresql.connection import session
from agents.drivers.postgresql.discovery import look_at_cluster
from agents.drivers.postgresql.errors import warnings_in
from agents.drivers.postgresql.physical.errors import basebackup_failed
from agents.drivers.postgresql.physical.replication import wal_kept
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.redaction import redactor
from agents.drivers.postgresql.tools import find_tool
from agents.drivers.programs import ProgramDump
from agents.processes import Child, Command, start

FIRST_MEMBER: Final = b"backup_label\0"
END_MARK: Final = bytes(2 * tarfile.BLOCKSIZE)
SMALLEST_BYTES: Final = 1024 * 1024
"""An empty cluster has some 23 MiB, and a segment of WAL."""
_MAGIC_AT: Final = 257
_CHATTER: Final = ("NOTICE:", "waiting for checkpoint", "checkpoint completed")


class PhysicalDump(ProgramDump):
    """`DumpSource` of the whole cluster."""

    def __init__(self, child: Child, psql: Psql, slotless: str) -> None:
        super().__init__(child)
        self._psql = psql
        self._slotless = slotless

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        """The program's warnings.  Raises: RunFailed `dump.failed`, `dump.incomplete`, `engine.*`."""
        status = await self.exit_status()
        if not status.ok:
            raise basebackup_failed(status, self._child.stderr, self._psql.connection)
        self.require_whole("archive", missing_mark(plain_bytes, head, tail))
        said = warnings_in(self._child.stderr, self._child.command.name)
        slotless = [self._slotless] if self._slotless else []
        return [*slotless, *(line for line in said if not any(words in line for words in _CHATTER))]


def missing_mark(plain_bytes: int, head: bytes, tail: bytes) -> str:
    """Why these cannot be the size, the beginning and the end of a whole archive; empty when they can."""
    if plain_bytes == 0:
        return "it wrote nothing"
    if not head.startswith(FIRST_MEMBER) or head[_MAGIC_AT : _MAGIC_AT + 5] != b"ustar":
        return "it does not begin with a backup_label"
    if plain_bytes < SMALLEST_BYTES:
        return f"it has only {plain_bytes} bytes"
    if plain_bytes % tarfile.BLOCKSIZE or tail[-len(END_MARK) :] != END_MARK:
        return "the mark at the end of the archive is missing"
    return ""


@asynccontextmanager
async def start_physical_dump(psql: Psql, artifact: PlannedArtifact) -> AsyncIterator[PhysicalDump]:
    """The backup under way; leaving ends it, on the server as well.  Raises: RunFailed `engine.*`."""
    cluster = await look_at_cluster(psql)
    tool = await find_tool("pg_basebackup", psql.connection.bin_dir, at_least=cluster.major)
    argv = [
        tool.path,
        "--pgdata=-",
        "--format=tar",
        "--wal-method=fetch",
        "--checkpoint=fast",
        "--manifest-checksums=SHA256",
        f"--label=strongroom {artifact.name}",
        "--no-password",
    ]
    async with wal_kept(psql) as slotless:
        with session(psql.connection, psql.connection.database, psql.runtime_dir) as opened:
            command = Command(
                argv=argv,
                package="postgresql-client",
                env=opened.env,
                pass_fds=opened.pass_fds,
                redact=redactor(opened.password),
            )
            async with start(command, stdout=True) as child:
                yield PhysicalDump(child, psql, slotless)
