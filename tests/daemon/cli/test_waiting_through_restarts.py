"""Servers and coordinators come and go while somebody waits for a run; the waiting ends with the run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.cli.calling import Strongroom, Zygote
from tests.daemon.cli.conftest import write_operator_config
from tests.faults.tools import PgTools
from tests.integration.platform import Platform
from tests.servers.nats import NatsServer
from tests.servers.postgres import Database, PostgresCluster
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually_blocking


@pytest.fixture
def own(tmp_path: Path, nats_server: NatsServer, bucket: Bucket, postgres: PostgresCluster) -> Iterator[Platform]:
    """A platform of the test's own, to be hurt."""
    directory = tmp_path / "platform"
    directory.mkdir()
    platform = Platform(directory, nats_server, bucket, postgres)
    try:
        platform.start_coordinator()
        yield platform
    finally:
        platform.stop()


def test_a_run_is_followed_through_restarts(
    own: Platform, nats_server: NatsServer, zygote: Zygote, tools: PgTools, orders: Database, tmp_path: Path
) -> None:
    strongroom = Strongroom(zygote, tmp_path, write_operator_config(tmp_path / "operator.toml", nats_server))
    strongroom("project", "create", "acme").ok()
    strongroom("node", "add", "node-1").ok()
    strongroom("service", "add", "acme/orders", "--kind", "postgresql", "--node", "node-1", "--include", orders.name).ok()
    own.write_service("acme/orders", bin_dir=str(tools.directory))
    own.start_agent()
    eventually_blocking(lambda: '"reachable":true' in strongroom("node", "list", "--json").out, 20)
    tools.halt_half_way()
    with strongroom.started("backup", "create", "acme/orders") as waiting:
        eventually_blocking(tools.reached.exists, 20)
        own.kill("coordinator")
        nats_server.kill()
        nats_server.start()
        own.start_coordinator()
        tools.go.touch()
        assert "✓ acme/orders/" in waiting.wait(60).ok().out
