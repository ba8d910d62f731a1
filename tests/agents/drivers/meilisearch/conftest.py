"""A Meilisearch instance of a test's own: empty, filled, or a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agents.drivers.meilisearch import making
from tests.agents.drivers.meilisearch.engine import MeilisearchUnderTest
from tests.servers.directories import server_directory
from tests.servers.meilisearch.real import RealMeilisearch, is_given
from tests.servers.meilisearch.server import MeilisearchServer


@pytest.fixture
def directory() -> Iterator[Path]:
    with server_directory("meili") as path:
        yield path


@pytest.fixture(scope="module")
def shared_server() -> Iterator[MeilisearchServer]:
    with server_directory("meili") as path:
        running = MeilisearchServer(path)
        running.start()
        yield running
        running.kill()


@pytest.fixture
async def meilisearch(shared_server: MeilisearchServer, directory: Path) -> AsyncIterator[MeilisearchUnderTest]:
    """An agent's host beside an empty instance of the protocol server, which a test can hold up."""
    under_test = MeilisearchUnderTest(shared_server, directory)
    yield under_test
    shared_server.control.clear_all()
    await under_test.close()


@pytest.fixture(scope="module")
def contract_server() -> Iterator[MeilisearchServer | RealMeilisearch]:
    """A real one where the environment names one.  Tests kill it, and leave it empty."""
    with server_directory("meili") as path:
        running = RealMeilisearch(path) if is_given() else MeilisearchServer(path)
        running.start()
        yield running
        running.kill()


@pytest.fixture
async def engine(
    contract_server: MeilisearchServer | RealMeilisearch, directory: Path
) -> AsyncIterator[MeilisearchUnderTest]:
    """Filled."""
    under_test = MeilisearchUnderTest(contract_server, directory)
    try:
        await under_test.fill()
        yield under_test
    finally:
        await under_test.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that does not answer is given up at once, and not after half a minute."""
    monkeypatch.setattr(making, "PATIENCE_S", 0.2)
