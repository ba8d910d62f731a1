"""Fixtures for the driver's tests: a server that all tests of a module share, filled anew for each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.services import MariaDBOptions
from tests.agents.drivers.mariadb.engine import LogicalUnderTest, PhysicalUnderTest
from tests.agents.drivers.playing import Backup, back_up
from tests.servers.directories import server_directory
from tests.servers.mariadb import MariaDBServer


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDBServer]:
    """With a binary log and events that run; tests kill it, and wipe it."""
    with server_directory("mariadb", in_memory=True) as directory:
        settings = {"log-bin": "binlog", "binlog-format": "ROW", "server-id": "1", "event-scheduler": "ON"}
        server = MariaDBServer(directory, settings)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture
def logical(mariadb: MariaDBServer, tmp_path: Path) -> LogicalUnderTest:
    engine = LogicalUnderTest(mariadb, tmp_path, MariaDBOptions(method="logical"))
    engine.fill()
    return engine


@pytest.fixture
def physical(mariadb: MariaDBServer, tmp_path: Path) -> PhysicalUnderTest:
    engine = PhysicalUnderTest(mariadb, tmp_path, MariaDBOptions())
    engine.fill()
    return engine


@pytest.fixture
def restoring(mariadb: MariaDBServer, tmp_path: Path) -> PhysicalUnderTest:
    """A host to restore on, whatever is in its server."""
    engine = PhysicalUnderTest(mariadb, tmp_path, MariaDBOptions())
    if not mariadb.running:
        mariadb.start()
    engine.make_accounts()
    return engine


@pytest.fixture(scope="session")
def physical_backup(mariadb: MariaDBServer, tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """Of the filled server, made once for all tests that only restore it."""
    engine = PhysicalUnderTest(mariadb, tmp_path_factory.mktemp("host"), MariaDBOptions())
    engine.fill()
    return asyncio.run(back_up(engine.driver()))
