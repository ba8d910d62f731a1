"""Fixtures of the tests over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.daemon.http.calling import Door, open_door
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket


@pytest.fixture
async def door(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> AsyncIterator[Door]:
    """A coordinator that listens, with nothing in it."""
    async with open_door(tmp_path, nats_server, bucket) as opened:
        yield opened
