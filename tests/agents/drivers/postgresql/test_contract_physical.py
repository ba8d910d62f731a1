"""What every driver promises, by the physical method."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.drivers.contract import DriverContract, EngineUnderTest
from tests.agents.drivers.postgresql.engine import PhysicalUnderTest
from tests.servers.directories import server_directory
from tests.servers.postgres import PostgresCluster


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with server_directory("pg", in_memory=True) as directory:
        yield directory


@pytest.fixture(scope="module")
def cluster(place: Path) -> Iterator[PostgresCluster]:
    """Of these tests alone: they kill it, and wipe it."""
    cluster = PostgresCluster(place, {"wal_level": "replica"})
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.discard()


class TestPhysical(DriverContract):
    @pytest.fixture
    def engine(self, cluster: PostgresCluster, place: Path, tmp_path: Path) -> Iterator[EngineUnderTest]:
        restore_dir = place / "restores"
        restore_dir.mkdir()
        shutil.chown(restore_dir, cluster.data_dir.stat().st_uid)
        try:
            engine = PhysicalUnderTest(cluster, tmp_path, restore_dir)
            engine.fill()
            yield engine
        finally:
            shutil.rmtree(restore_dir)
