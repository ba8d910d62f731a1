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
    with server_directory("nats") as directory:
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
    """The same, with one of everything in it."""
    async with host.server.connect() as client:
        await fill(client)
    return host
