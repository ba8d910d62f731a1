"""Fixtures for the driver's tests: a nats-server of their own, empty or filled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agents.drivers.nats.engine import NatsEngine
from tests.agents.drivers.nats.filling import fill
from tests.servers.directories import server_directory
from tests.servers.nats_service import NatsService


@pytest.fixture
def service() -> Iterator[NatsService]:
    """A server without any stream."""
    with server_directory("nats", in_memory=True) as directory:
        server = NatsService(directory)
        try:
            server.start()
            yield server
        finally:
            server.kill()


@pytest.fixture
def host(service: NatsService, tmp_path: Path) -> NatsEngine:
    """An agent's host beside the server, which is empty."""
    return NatsEngine(service, tmp_path)


@pytest.fixture
async def filled(host: NatsEngine) -> NatsEngine:
    """The same, with one of everything in it, of which one stream is too large to be in any memory as a whole."""
    async with host.server.connect() as client:
        await fill(client)
    return host


@pytest.fixture
async def varied(host: NatsEngine) -> NatsEngine:
    """With one of everything in it, for tests to which the size does not matter: the largest has two parts."""
    async with host.server.connect() as client:
        await fill(client, large_bytes=9 * 1024 * 1024)
    return host
