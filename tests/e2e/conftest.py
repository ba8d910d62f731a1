"""Fixtures for tests of the pages in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.e2e.stage import Stage, standing_stage
from tests.e2e.visitors import running_chromium
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket


@pytest.fixture
async def stage(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> AsyncIterator[Stage]:
    """A running coordinator with nothing on it."""
    async with standing_stage(tmp_path, nats_server, bucket) as standing:
        yield standing


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Open a `visitor(browser, stage, ...)` in it."""
    async with running_chromium() as running:
        yield running
