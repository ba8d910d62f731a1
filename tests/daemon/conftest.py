"""Fixtures for tests of the coordinator."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from daemon.settings import CoordinatorSettings
from tests.daemon.running import Operator, coordinator_settings, running_coordinator
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket


@pytest.fixture
def settings(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> CoordinatorSettings:
    return coordinator_settings(tmp_path, nats_server, bucket)


@pytest.fixture
async def coordinator(settings: CoordinatorSettings) -> AsyncIterator[None]:
    """A running coordinator."""
    async with running_coordinator(settings):
        yield


@pytest.fixture
async def operator(coordinator: None, nats_server: NatsServer) -> AsyncIterator[Operator]:
    """An operator beside the running coordinator."""
    async with nats_server.connect_operator() as client:
        yield Operator(client)
