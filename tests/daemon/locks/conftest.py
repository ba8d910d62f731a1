"""A bucket that locks, and a coordinator that has it lock for seconds rather than days."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from contracts.policy.locking import LockMode
from daemon.settings import CoordinatorSettings
from daemon.store.settings import LockSettings
from tests.daemon.running import coordinator_settings
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket, S3Factory

SECOND = 1 / 86_400
"""In days."""


@pytest.fixture
def locking_bucket(s3_factory: S3Factory) -> Bucket:
    """In a store of the test's own: in compliance mode nobody could empty it afterwards."""
    server = s3_factory()
    server.blocking_client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    return Bucket(server, "locked")


@pytest.fixture
def settings(tmp_path: Path, nats_server: NatsServer, locking_bucket: Bucket) -> CoordinatorSettings:
    return coordinator_settings(tmp_path, nats_server, locking_bucket)


def locking(settings: CoordinatorSettings, seconds: float, mode: LockMode = LockMode.COMPLIANCE) -> CoordinatorSettings:
    """The settings with every backup locked for so long."""
    lock = LockSettings(mode=mode, min_days=seconds * SECOND)
    return msgspec.structs.replace(settings, store=msgspec.structs.replace(settings.store, lock=lock))
