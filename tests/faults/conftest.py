"""The platform of the integration tests, to be hurt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.tools import PgTools
from tests.integration.platform import Platform
from tests.servers.nats import NatsServer
from tests.servers.postgres import Database, PostgresCluster
from tests.servers.s3 import Bucket


@pytest.fixture
def platform(tmp_path: Path, nats_server: NatsServer, bucket: Bucket, postgres: PostgresCluster) -> Iterator[Platform]:
    """Nothing of it runs yet but its servers."""
    created = Platform(tmp_path, nats_server, bucket, postgres)
    try:
        yield created
    finally:
        created.stop()


@pytest.fixture
def tools(tmp_path: Path) -> PgTools:
    """PostgreSQL's programs, of which a test may replace one."""
    return PgTools(tmp_path / "bin")


@pytest.fixture
def orders(database: Database) -> Database:
    """A database with a table of about 1 MiB that does not compress."""
    database.query("CREATE TABLE orders AS SELECT i, gen_random_uuid() AS token FROM generate_series(1, 30000) i")
    return database
