"""PostgreSQL's part of the demo, against the interface that the round has of it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from contracts.records import ArtifactRecord
from daemon.demo.compare import compare_snapshots
from daemon.demo.engines.base import DemoEngine
from daemon.demo.engines.postgresql import RESTORED, PostgreSQLEngine, describe_listing
from daemon.demo.processes import run_program, tool_environment
from daemon.demo.programs import find_programs
from daemon.demo.psql import Psql
from daemon.demo.sample_data import DATABASE
from daemon.demo.scratch_postgres import Cluster

SIZE_BYTES = 5_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not below pytest's own directories: the server's user may not pass those."""
    with tempfile.TemporaryDirectory(prefix="strongroom-demo-") as path:
        Path(path).chmod(0o755)
        yield Path(path) / "postgresql"


async def test_what_was_filled_is_seen_and_a_copy_is_seen_to_be_one(folder: Path) -> None:
    engine: DemoEngine = PostgreSQLEngine()
    engine.check()
    told: list[int] = []
    async with engine.running(folder) as server:
        on_disk = await server.fill(SIZE_BYTES, told.append)
        assert on_disk > SIZE_BYTES
        assert told == sorted(told)
        assert told[-1] == SIZE_BYTES
        snapshot = await server.snapshot()
        assert snapshot.tables['"ware house"."Größe & 価格"'].rows == 120
        room = await server.make_room()
        assert room.rename == {DATABASE: RESTORED}
        await superuser(server.connection).run(f'CREATE DATABASE "{RESTORED}" TEMPLATE "{DATABASE}"')
        restored = await server.snapshot_restored()
        differences = compare_snapshots(snapshot, restored).differences
        # What belongs to the database as a whole is copied by a restore, not by a template.
        assert {one.kind for one in differences} <= {"database", "database setting", "database grant"}
        record = server.choose([record_of("globals"), record_of(DATABASE)])
        assert record.name == DATABASE
        opener = server.opener(record)
        dump = await dump_of(server.connection)
        assert dump.startswith(opener.magic)
        _, listing = await run_program(list(opener.argv), environment=tool_environment(), given=dump)
        assert opener.describe(listing).endswith("the data of 17 tables among them")
    assert (folder / "data" / "PG_VERSION").exists()
    assert not (folder / "data" / "postmaster.pid").exists()


def test_a_listing_is_told_in_half_a_sentence() -> None:
    listing = b"; header\n1; 2 3 TABLE DATA public t owner\n2; 3 4 TABLE public t owner\n"
    assert describe_listing(listing) == "2 entries, the data of 1 table among them"


def superuser(connection: object) -> Psql:
    values = msgspec.convert(connection, dict[str, str | int])
    cluster = Cluster(
        host=str(values["host"]),
        port=int(values["port"]),
        user=str(values["user"]),
        passfile=Path(str(values["passfile"])),
        data_dir=Path(),
    )
    return Psql(program=find_programs().psql, cluster=cluster, database="postgres")


async def dump_of(connection: object) -> bytes:
    environment = superuser(connection).cluster.environment(DATABASE)
    ended, out = await run_program([find_programs().pg_dump, "-Fc", "-Z0"], environment=environment)
    assert ended.status == 0, ended.stderr_tail
    return out


def record_of(name: str) -> ArtifactRecord:
    return ArtifactRecord(
        name=name,
        kind="database",
        format="pg_dump-custom",
        object_key=f"demo/postgres/{name}.pgdump.zst.age",
        stored_bytes=1,
        plain_bytes=1,
        sha256="0" * 64,
    )
