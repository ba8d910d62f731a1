"""Fixtures: a whole platform that the tests of a session share, and the command that speaks to it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import tomli_w

from tests.daemon.cli.calling import Strongroom, Zygote
from tests.faults.tools import PgTools
from tests.integration.platform import Platform
from tests.servers.directories import server_directory
from tests.servers.nats import NatsServer
from tests.servers.postgres import Database, PostgresCluster
from tests.servers.s3 import S3Server
from tests.servers.waiting import eventually_blocking


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    created = Zygote()
    try:
        yield created
    finally:
        created.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, s3: S3Server, postgres: PostgresCluster) -> Iterator[Platform]:
    """nats-server, bucket, coordinator and an agent on `node-1`; each test works in projects of its own."""
    with ExitStack() as stack:
        nats_server = NatsServer(stack.enter_context(server_directory("nats")), ["node-1", "node-2"])
        stack.callback(nats_server.kill)
        nats_server.start()
        bucket = s3.create_bucket()
        stack.callback(bucket.remove)
        platform = Platform(tmp_path_factory.mktemp("world"), nats_server, bucket, postgres)
        stack.callback(platform.stop)
        platform.start_coordinator()
        write_operator_config(platform.directory / "operator.toml", nats_server)
        yield platform


@pytest.fixture
def strongroom(zygote: Zygote, world: Platform, tmp_path: Path) -> Strongroom:
    """The command of an operator of the world."""
    return Strongroom(zygote, tmp_path, world.directory / "operator.toml")


@pytest.fixture
def project(strongroom: Strongroom) -> str:
    """A project of the test's own."""
    name = f"p-{secrets.token_hex(4)}"
    strongroom("project", "create", name).ok()
    return name


@pytest.fixture(scope="session")
def node(zygote: Zygote, world: Platform, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registered node whose agent is not running."""
    command = Strongroom(zygote, tmp_path_factory.mktemp("node"), world.directory / "operator.toml")
    command("node", "add", "node-2").ok()
    return "node-2"


def write_operator_config(path: Path, nats_server: NatsServer) -> Path:
    """What an operator of this nats-server writes."""
    path.write_text(tomli_w.dumps({"nats": {"url": nats_server.url, "nkey_file": str(nats_server.operator_seed)}}))
    return path


@pytest.fixture(scope="session")
def serving(zygote: Zygote, world: Platform, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The world with its agent on `node-1` running."""
    command = Strongroom(zygote, tmp_path_factory.mktemp("serving"), world.directory / "operator.toml")
    command("node", "add", "node-1").ok()
    world.start_agent("node-1")
    return world


@pytest.fixture
def tools(tmp_path: Path) -> PgTools:
    """PostgreSQL's programs, of which a test may replace one."""
    return PgTools(tmp_path / "bin")


@pytest.fixture
def orders(database: Database) -> Database:
    """A database with a table of about 1 MiB that does not compress."""
    database.query("CREATE TABLE orders AS SELECT i, gen_random_uuid() AS token FROM generate_series(1, 30000) i")
    return database


@pytest.fixture
def service(strongroom: Strongroom, serving: Platform, project: str, tools: PgTools, orders: Database) -> Iterator[str]:
    """A service of the test's own with one database, which the agent on `node-1` reaches by `tools`."""
    name = f"{project}/orders"
    strongroom("service", "add", name, "--kind", "postgresql", "--node", "node-1", "--include", orders.name).ok()
    serving.write_service(name, bin_dir=str(tools.directory))

    def is_reached() -> bool:
        (view,) = [each for each in strongroom.json("node", "list")["nodes"] if each["record"]["name"] == "node-1"]
        return bool(view["alive"] and view["alive"]["services"].get(name, {}).get("reachable"))

    eventually_blocking(is_reached, 20)
    yield name
    (serving.services_dir / f"{project}.orders.toml").unlink()
