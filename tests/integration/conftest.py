"""Fixtures of the tests that run everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.platform import Platform
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresCluster
from tests.servers.s3 import Bucket


@pytest.fixture
def platform(tmp_path: Path, nats_server: NatsServer, bucket: Bucket, postgres: PostgresCluster) -> Iterator[Platform]:
    """Nothing of it runs yet but its servers."""
    created = Platform(tmp_path, nats_server, bucket, postgres)
    try:
        yield created
    finally:
        created.stop()
