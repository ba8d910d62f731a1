"""Admitting and expelling nodes in a cluster of three servers of one's own, configured from the generated snippet."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.settings import NatsSettings
from contracts.subjects import agent_inbox
from contracts.wire import utc_now
from daemon.embedded.binaries import NATS_SERVER, find_program
from daemon.embedded.nats_config import MIB
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.ports import free_ports
from daemon.trust.authority import Authority
from daemon.trust.book import ensure_trust
from daemon.trust.server_config import Resolver, render_snippet
from tests.servers.directories import server_directory
from tests.servers.process import ServerProcess
from tests.servers.waiting import eventually


class Cluster:
    """Three servers, each with a resolver directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trust = directory / "trust"
        book = ensure_trust(self.trust, now=utc_now())
        self.ports = free_ports(6)
        self.processes: list[ServerProcess] = []
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self.ports[3:])
        for number in range(3):
            place = directory / f"n{number}"
            place.mkdir()
            resolver = Resolver(book=book, directory=place / "resolver")
            (place / "trust.conf").write_text(render_snippet(resolver, None, max_payload=8 * MIB, notes=["generated"]))
            (place / "nats.conf").write_text(
                f'server_name: n{number}\nlisten: "127.0.0.1:{self.ports[number]}"\n'
                f'jetstream {{ store_dir: "{place / "js"}" }}\n'
                f'cluster {{ name: c, listen: "127.0.0.1:{self.ports[3 + number]}", routes: [{routes}] }}\n'
                "include ./trust.conf\n"
            )
            argv = [str(find_program(NATS_SERVER)), "-c", str(place / "nats.conf")]
            self.processes.append(ServerProcess("nats-server", argv, directory=place))

    def start(self, number: int) -> None:
        self.processes[number].start(partial(_listens, self.ports[number]))

    def authority(self, number: int) -> Authority:
        return Authority.open(self.trust, NatsSettings(url=self.url(number), nkey_file=""))

    def url(self, number: int) -> str:
        return f"nats://127.0.0.1:{self.ports[number]}"


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.makefile("rb").readline().startswith(b"INFO ")
    except OSError:
        return False


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with ExitStack() as stack:
        cluster = Cluster(stack.enter_context(server_directory("cluster")))
        for number, process in enumerate(cluster.processes):
            stack.callback(process.kill)
            cluster.start(number)
        yield cluster


async def admits(cluster: Cluster, number: int, seed: Path, user_jwt: str) -> bool:
    """Whether this server lets the node in."""
    refused: list[Exception] = []

    async def note(exc: Exception) -> None:
        refused.append(exc)

    client = Client()
    try:
        await client.connect(
            cluster.url(number),
            nkeys_seed=str(seed),
            user_jwt_cb=lambda: bytearray(user_jwt.encode()),
            inbox_prefix=agent_inbox("db-1"),
            allow_reconnect=False,
            max_reconnect_attempts=1,
            ping_interval=3600,
            error_cb=note,
        )
    except (NatsError, OSError):
        return False
    finally:
        await client.close()
    return not refused


async def test_every_server_of_a_cluster_knows_who_was_admitted_and_who_was_expelled(cluster: Cluster) -> None:
    seed = cluster.directory / "db-1.nk"
    key = ensure_user_seed(seed)
    credentials = await cluster.authority(0).admit("db-1", key, now=utc_now(), valid_for=None)
    for number in range(3):
        await eventually(partial(admits, cluster, number, seed, credentials.user_jwt))

    # One that was away when the node was expelled learns of it, and brings nothing back to the others.
    cluster.processes[2].stop()
    await cluster.authority(1).expel("db-1", credentials.account, now=utc_now())
    for number in range(2):
        assert not await admits(cluster, number, seed, credentials.user_jwt)
    cluster.start(2)

    async def refused_by_the_last() -> bool:
        return not await admits(cluster, 2, seed, credentials.user_jwt)

    await eventually(refused_by_the_last, timeout_s=60)
    for number in range(2):
        assert not await admits(cluster, number, seed, credentials.user_jwt)
