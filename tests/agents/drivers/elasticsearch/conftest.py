"""Fixtures: real nodes for the whole session, filled anew for each test, behind a gate that knows users and faults."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from tests.agents.drivers.elasticsearch.elasticdump_program import NoElasticdump, elasticdump
from tests.agents.drivers.elasticsearch.engine import SearchEngine
from tests.agents.drivers.elasticsearch.gate import gate
from tests.servers.directories import server_directory
from tests.servers.elasticsearch import ELASTICSEARCH, OPENSEARCH, NotHere, SearchNode, jars


@contextmanager
def _running(node: Path) -> Iterator[SearchNode]:
    try:
        found = jars(node)
    except NotHere as exc:
        pytest.skip(f"NOT RUN HERE: {exc}")
    with server_directory("es", in_memory=True) as directory:
        server = SearchNode(directory, node, found)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def elasticsearch_node() -> Iterator[SearchNode]:
    """A real Elasticsearch (about 5 s)."""
    with _running(ELASTICSEARCH) as server:
        yield server


@pytest.fixture(scope="session")
def opensearch_node() -> Iterator[SearchNode]:
    """A real OpenSearch (about 8 s)."""
    with _running(OPENSEARCH) as server:
        yield server


@asynccontextmanager
async def _emptied(node: SearchNode, directory: Path) -> AsyncIterator[SearchEngine]:
    async with gate(node.url) as door:
        engine = SearchEngine(node, door, directory)
        await engine.revive()
        engine.empty()
        yield engine


@pytest.fixture
async def elasticsearch(elasticsearch_node: SearchNode, tmp_path: Path) -> AsyncIterator[SearchEngine]:
    """The session's Elasticsearch, filled, behind a gate of the test's own."""
    async with _emptied(elasticsearch_node, tmp_path) as engine:
        engine.fill()
        yield engine


@pytest.fixture
async def bare(elasticsearch_node: SearchNode, tmp_path: Path) -> AsyncIterator[SearchEngine]:
    """The session's Elasticsearch with nothing in it, behind a gate of the test's own."""
    async with _emptied(elasticsearch_node, tmp_path) as engine:
        yield engine


@pytest.fixture
async def opensearch(opensearch_node: SearchNode, tmp_path: Path) -> AsyncIterator[SearchEngine]:
    """The session's OpenSearch, filled, behind a gate of the test's own."""
    async with _emptied(opensearch_node, tmp_path) as engine:
        engine.fill()
        yield engine


@pytest.fixture(scope="session")
def program() -> Path:
    """The real `elasticdump`."""
    try:
        return elasticdump()
    except NoElasticdump as exc:
        pytest.skip(f"NOT RUN HERE: there is no elasticdump: {exc}")
