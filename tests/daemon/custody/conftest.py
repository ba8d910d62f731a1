"""Fixtures: everything running for a project whose identity only its owner has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.cli.calling import Strongroom, Zygote
from tests.daemon.cli.conftest import write_operator_config
from tests.integration.platform import Platform
from tests.integration.test_backup_and_restore import fill
from tests.servers.nats import NatsServer
from tests.servers.postgres import Database, PostgresCluster
from tests.servers.s3 import Bucket


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    created = Zygote()
    try:
        yield created
    finally:
        created.close()


@pytest.fixture
def platform(tmp_path: Path, nats_server: NatsServer, bucket: Bucket, postgres: PostgresCluster) -> Iterator[Platform]:
    """Nothing of it runs yet but its servers."""
    directory = tmp_path / "platform"
    directory.mkdir()
    created = Platform(directory, nats_server, bucket, postgres)
    try:
        yield created
    finally:
        created.stop()


@pytest.fixture
def strongroom(zygote: Zygote, platform: Platform, tmp_path: Path, nats_server: NatsServer) -> Strongroom:
    """The command of an operator, in a directory of its own."""
    home = tmp_path / "operator"
    home.mkdir()
    return Strongroom(zygote, home, write_operator_config(tmp_path / "operator.toml", nats_server))


@pytest.fixture
def shop(postgres: PostgresCluster) -> Iterator[Database]:
    """A database with something in it."""
    created = postgres.create_database()
    fill(created)
    try:
        yield created
    finally:
        postgres.drop_database(created.name)
