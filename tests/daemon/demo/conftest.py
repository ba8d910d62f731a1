"""Fixtures for tests of the demo: the sample shop in a real cluster, made once, and copies of it to spoil."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.demo.programs import Programs, find_programs
from daemon.demo.psql import Psql
from daemon.demo.sample_data import make_sample_data
from daemon.demo.scratch_postgres import Cluster
from daemon.demo.snapshot import DatabaseSnapshot, take_snapshot
from tests.servers.postgres import PostgresCluster

SMALL_BYTES = 3_200_000
"""With a few bulk rows, and made in two seconds."""


@contextmanager
def running_cluster(programs: Programs) -> Iterator[Psql]:
    """The superuser's psql in a cluster of its own: the sample data bring roles, which no other test should meet."""
    directory = Path(tempfile.mkdtemp(prefix="strongroom-demo-pg-"))
    cluster = PostgresCluster(directory)
    try:
        cluster.start()
        passfile = directory / "pgpass"
        passfile.touch(mode=0o600)
        passfile.write_text(f"{cluster.host}:{cluster.port}:*:{cluster.superuser}:{cluster.password}\n")
        reached = Cluster(
            host=cluster.host, port=cluster.port, user=cluster.superuser, passfile=passfile, data_dir=cluster.data_dir
        )
        yield Psql(program=programs.psql, cluster=reached, database="postgres")
    finally:
        cluster.discard()
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def programs() -> Programs:
    return find_programs()


@pytest.fixture(scope="session")
def server(programs: Programs) -> Iterator[Psql]:
    """The cluster of the tests here."""
    with running_cluster(programs) as psql:
        yield psql


@pytest.fixture
def other_server(programs: Programs) -> Iterator[Psql]:
    """A cluster that knows nothing of the first."""
    with running_cluster(programs) as psql:
        yield psql


@pytest.fixture(scope="session")
def shop(server: Psql) -> Psql:
    """The sample data, for reading only."""
    return server.of(asyncio.run(make_sample_data(server, SMALL_BYTES)).database)


@pytest.fixture(scope="session")
def shop_snapshot(shop: Psql) -> DatabaseSnapshot:
    """What is in `shop`, but for what belongs to the database as a whole, which `CREATE DATABASE … TEMPLATE` leaves out."""
    copy = asyncio.run(_copied(shop))
    return asyncio.run(take_snapshot(copy))


@pytest.fixture
def copy(shop: Psql) -> Iterator[Psql]:
    """A copy of `shop` to change."""
    made = asyncio.run(_copied(shop))
    yield made
    asyncio.run(made.of("postgres").run(f'DROP DATABASE "{made.database}" WITH (FORCE)'))


async def _copied(original: Psql) -> Psql:
    name = f"copy_{secrets.token_hex(4)}"
    await original.of("postgres").run(f'CREATE DATABASE "{name}" TEMPLATE "{original.database}"')
    return original.of(name)


@pytest.fixture(scope="session")
def shop_size() -> int:
    """That `shop` was made with."""
    return SMALL_BYTES
