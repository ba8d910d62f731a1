"""PostgreSQL in the demo: a cluster of its own, a small shop's database, restored beside the original."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from contracts.records import ArtifactRecord
from contracts.services import PostgreSQLOptions, ServiceOptions
from daemon.cli.figures import count
from daemon.demo.engines.base import DemoServer, Opener, Room, Tell
from daemon.demo.programs import Programs, find_programs
from daemon.demo.psql import Psql
from daemon.demo.sample_data import DATABASE, make_sample_data
from daemon.demo.scratch_postgres import Cluster, check_reachable, scratch_postgres
from daemon.demo.snapshot import DatabaseSnapshot, take_snapshot

RESTORED: Final = f"{DATABASE}_restored"
_MAGIC: Final = b"PGDMP"
"""The first bytes of pg_dump's custom format."""
_ENTRY: Final = re.compile(rb"^\d+; \d+ \d+ (.*)$", re.MULTILINE)


class PostgreSQLServer:
    """`DemoServer`."""

    def __init__(self, cluster: Cluster, programs: Programs) -> None:
        self._cluster = cluster
        self._programs = programs
        self.place = f"{cluster.host}:{cluster.port}"
        self.options: ServiceOptions = PostgreSQLOptions()
        self.connection: Mapping[str, Any] = {
            "kind": PostgreSQLEngine.kind,
            "host": cluster.host,
            "port": cluster.port,
            "user": cluster.user,
            "passfile": str(cluster.passfile),
            "bin_dir": str(Path(programs.pg_dump).parent),
        }

    async def fill(self, size_bytes: int, tell: Tell) -> int:
        return (await make_sample_data(self._database("postgres"), size_bytes, tell)).database_bytes

    async def snapshot(self) -> DatabaseSnapshot:
        return await take_snapshot(self._database(DATABASE))

    async def make_room(self) -> Room:
        """There is room: under another name."""
        return Room(words=f"as {RESTORED}, beside the original", artifacts=[DATABASE], rename={DATABASE: RESTORED})

    async def snapshot_restored(self) -> DatabaseSnapshot:
        return await take_snapshot(self._database(RESTORED))

    def choose(self, artifacts: Sequence[ArtifactRecord]) -> ArtifactRecord:
        return next(artifact for artifact in artifacts if artifact.name == DATABASE)

    def opener(self, artifact: ArtifactRecord) -> Opener:
        del artifact  # there is one kind that is opened
        return Opener(
            argv=[self._programs.pg_restore, "-l"], command="pg_restore -l", magic=_MAGIC, describe=describe_listing
        )

    def _database(self, name: str) -> Psql:
        return Psql(program=self._programs.psql, cluster=self._cluster, database=name)


class PostgreSQLEngine:
    """`DemoEngine`."""

    kind: str = "postgresql"
    title: str = "a PostgreSQL server"
    data_title: str = "the database of a small shop"

    def check(self) -> None:
        find_programs()

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[DemoServer]:
        """Raises: InvalidInput where PostgreSQL, which must not be root, cannot get to the folder."""
        programs = find_programs()
        await check_reachable(folder.parent, programs)
        async with scratch_postgres(folder, programs) as cluster:
            yield PostgreSQLServer(cluster, programs)


def describe_listing(listing: bytes) -> str:
    """What pg_restore's table of contents holds, in half a sentence."""
    entries = _ENTRY.findall(listing)
    tables = sum(entry.startswith(b"TABLE DATA ") for entry in entries)
    return f"{len(entries)} entries, the data of {count(tables, 'table')} among them"
