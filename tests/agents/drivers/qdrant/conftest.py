"""Fixtures: the tests' own Qdrant, or the real one that the environment names, filled anew for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.agents.drivers.qdrant.engine import ODD_NAMES, REAL_URL, QdrantEngine, fill, split_url, wipe
from tests.servers.directories import server_directory
from tests.servers.qdrant.proxy import running_proxy
from tests.servers.qdrant.server import QdrantServer


@contextmanager
def _running(nodes: int = 1) -> Iterator[QdrantServer]:
    with server_directory("qdrant", in_memory=True) as directory:
        server = QdrantServer(directory, nodes)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[QdrantServer]:
    """Of all tests that bring nothing into it that would outlast them."""
    with _running() as server:
        yield server


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[QdrantServer]:
    """Of three nodes."""
    with _running(3) as server:
        yield server


@pytest.fixture
def server(shared_server: QdrantServer) -> Iterator[QdrantServer]:
    """The tests' own server, empty and without faults; started again when the test before has killed it."""
    if not shared_server.running:
        shared_server.start()
    shared_server.fail()
    shared_server.clear_snapshots()
    yield shared_server
    shared_server.fail()


@pytest.fixture
def cluster_server(shared_cluster: QdrantServer) -> Iterator[QdrantServer]:
    """Three nodes without faults; what the test before has left in it is to be removed."""
    shared_cluster.fail()
    shared_cluster.clear_snapshots()
    yield shared_cluster
    shared_cluster.fail()


@pytest.fixture
async def fake(server: QdrantServer, tmp_path: Path) -> AsyncIterator[QdrantEngine]:
    """The tests' own server, filled but for the large collection: for what a real one would not do on demand."""
    async with running_proxy(*split_url(server.url)) as proxy:
        engine = QdrantEngine(server, proxy, tmp_path)
        async with engine.client() as client:
            await wipe(client)
            await fill(client, names=ODD_NAMES[:3], large=False)
        yield engine


@pytest.fixture
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[QdrantEngine]:
    """The real server if one is named, else the tests' own; filled."""
    server: QdrantServer | None = None if REAL_URL else request.getfixturevalue("server")
    async with running_proxy(*split_url(server.url if server is not None else REAL_URL)) as proxy:
        engine = QdrantEngine(server, proxy, tmp_path)
        async with engine.client() as client:
            await wipe(client)
            await fill(client)
        yield engine
