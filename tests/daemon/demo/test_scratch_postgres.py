"""The demo's own cluster: it runs, it is private, and nothing of it is left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.errors import InvalidInput, Unavailable
from daemon.demo.folder import demo_folder
from daemon.demo.programs import Programs
from daemon.demo.psql import Psql, SqlFailed
from daemon.demo.scratch_postgres import scratch_postgres
from tests.servers.waiting import eventually


@pytest.fixture
async def folder() -> AsyncIterator[Path]:
    with demo_folder(None, keep=False, size_bytes=0, passable=True) as made:
        yield made


async def test_the_cluster_runs_and_asks_for_the_password(folder: Path, programs: Programs) -> None:
    async with scratch_postgres(folder / "postgres", programs) as cluster:
        database = Psql(program=programs.psql, cluster=cluster, database="postgres")
        assert await database.rows("SELECT json_build_array(current_user, 1)", tuple[str, int]) == [("postgres", 1)]
        assert await database.run("SHOW password_encryption") == [b"scram-sha-256"]
        assert cluster.passfile.stat().st_mode & 0o777 == 0o600
        cluster.passfile.write_text("")
        with pytest.raises(SqlFailed) as caught:
            await database.run("SELECT 1")
        assert "no password supplied" in str(caught.value.detail)
    assert postmaster(cluster.data_dir) is None
    assert (cluster.data_dir / "PG_VERSION").exists()
    assert not (cluster.data_dir / "postmaster.pid").exists()


async def test_it_is_stopped_although_clients_are_connected(folder: Path, programs: Programs) -> None:
    async with scratch_postgres(folder / "postgres", programs) as cluster:
        database = Psql(program=programs.psql, cluster=cluster, database="postgres")
        sleeping = asyncio.create_task(database.run("SELECT pg_sleep(600)"), name="client")
        look = "SELECT to_json(count(*)) FROM pg_stat_activity WHERE query LIKE '%sleep(600)'"
        await eventually(lambda: _some(database, look))
    with pytest.raises(SqlFailed, match="SQL in the database 'postgres' failed"):
        await sleeping
    assert postmaster(cluster.data_dir) is None


async def test_a_script_stops_at_its_first_error(folder: Path, programs: Programs) -> None:
    async with scratch_postgres(folder / "postgres", programs) as cluster:
        database = Psql(program=programs.psql, cluster=cluster, database="postgres")
        with pytest.raises(SqlFailed) as caught:
            await database.run("CREATE TABLE a (n int);\nSELECT * FROM missing;\nCREATE TABLE b (n int);")
        assert 'psql:<stdin>:2: ERROR:  relation "missing" does not exist' in str(caught.value.detail)
        assert await database.run("SELECT to_regclass('a') IS NULL, to_regclass('b') IS NULL") == [b"f|t"]


async def test_a_server_that_cannot_start_is_told_with_its_words(folder: Path, programs: Programs) -> None:
    false = replace(programs, initdb="/bin/false")
    with pytest.raises(Unavailable, match="initdb ended with status 1"):
        async with scratch_postgres(folder / "postgres", false):
            pytest.fail("there is no cluster")
    broken = replace(programs, postgres="/bin/false")
    with pytest.raises(Unavailable, match="postgres ended with status 1 before it was ready"):
        async with scratch_postgres(folder / "again", broken):
            pytest.fail("there is no server")


async def test_it_dies_with_the_process_that_runs_it(folder: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from daemon.demo.programs import find_programs
from daemon.demo.scratch_postgres import scratch_postgres

async def main():
    async with scratch_postgres(Path(sys.argv[1]), find_programs()):
        print("ready", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""
    argv = [sys.executable, "-c", program, str(folder / "postgres")]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    server = postmaster(folder / "postgres" / "data")
    assert server is not None
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    await eventually(lambda: not Path(f"/proc/{server}").exists() or postmaster(folder / "postgres" / "data") is None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to become another user")
async def test_as_root_a_place_that_the_server_cannot_reach_is_told_beforehand(tmp_path: Path, programs: Programs) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(InvalidInput, match=r"cannot reach .*closed.*TMPDIR"):
        async with scratch_postgres(closed / "postgres", programs):
            pytest.fail("there is no cluster")


async def _some(database: Psql, query: str) -> bool:
    return await database.rows(query, int) == [1]


def postmaster(data_dir: Path) -> int | None:
    """The pid of a server that works in the directory."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if len(command) > 2 and command[0].endswith(b"postgres") and command[2] == os.fsencode(data_dir):
            return int(entry.parent.name)
    return None
