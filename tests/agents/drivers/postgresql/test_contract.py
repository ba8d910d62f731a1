"""What every driver promises, by the logical method."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.drivers.contract import DriverContract, EngineUnderTest
from tests.agents.drivers.postgresql.engine import LogicalUnderTest
from tests.servers.directories import server_directory
from tests.servers.postgres import PostgresCluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """Of these tests alone: they kill it, and wipe it."""
    with server_directory("pg", in_memory=True) as directory:
        cluster = PostgresCluster(directory)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.discard()


class TestLogical(DriverContract):
    @pytest.fixture
    def engine(self, cluster: PostgresCluster, tmp_path: Path) -> EngineUnderTest:
        engine = LogicalUnderTest(cluster, tmp_path)
        engine.fill()
        return engine
