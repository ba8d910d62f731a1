"""A real nats-server with the accounts and permissions of production."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import nats
import nkeys  # type: ignore[import-untyped]
from nats.aio.client import Client

from contracts.settings import NatsSettings as ClientSettings
from contracts.wire import utc_now
from daemon.embedded.binaries import NATS_SERVER, find_program
from daemon.embedded.nats_config import RELOADS, NatsSettings, NodeAccess, inbox_prefix, render_config
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.private_files import write_private
from daemon.trust.authority import Authority
from daemon.trust.book import coordinator_jwt, ensure_trust, operator_jwt
from daemon.trust.server_config import Resolver
from tests.servers.process import ServerProcess, start_on_free_ports
from tests.servers.waiting import eventually_blocking

T = TypeVar("T")


async def settle(client: Client) -> None:
    """Returns when the server has everything that was published and subscribed so far.

    Twice, because the library writes the PING of a flush past whatever still waits to be written.
    Source: nats-py 2.16, nats/aio/client.py, `_send_ping`, and measured.
    """
    await client.flush()
    await client.flush()


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, in an event loop of its own, for code that a running loop may have called."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


def jwt_beside(seed: Path) -> Path:
    """Where the user JWT that goes with a seed lies, in operator mode."""
    return seed.with_suffix(".jwt")


class NatsServer:
    """nats-server on a free loopback port, with JetStream in `directory`; the port stays over restarts.

    `coordinator_seed`, `operator_seed` and `node_seeds[name]` are files with nkey seeds.  With `trust`, the server runs in
    operator mode: there is a `trust_directory`, nodes are admitted by `authority`, and JWTs lie beside the seeds.
    """

    def __init__(self, directory: Path, nodes: Iterable[str] = (), *, trust: bool = False) -> None:
        self.directory = directory
        self.trust_directory = directory / "trust" if trust else None
        self.resolver_directory = directory / "resolver"
        self.accounts: dict[str, str] = {}
        """In operator mode: the account of each node."""
        self.port = 0
        self.coordinator_seed = directory / "coordinator.nk"
        self.operator_seed = directory / "operator.nk"
        self.node_seeds: dict[str, Path] = {}
        self._ping_interval_s = NatsSettings.ping_interval_s
        self._config = directory / "nats.conf"
        self._process = ServerProcess(
            "nats-server", [str(find_program(NATS_SERVER)), "-c", str(self._config)], directory=directory
        )
        self._set_node_seeds(nodes)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.running

    @property
    def authority(self) -> Authority:
        """As the coordinator has it; in operator mode only."""
        assert self.trust_directory is not None
        return Authority.open(self.trust_directory, ClientSettings(url=self.url, nkey_file=""))

    def settings(self, seed: Path) -> ClientSettings:
        """What a program that holds the seed has in its section `[nats]`."""
        jwt = jwt_beside(seed)
        return ClientSettings(url=self.url, nkey_file=str(seed), jwt_file=str(jwt) if jwt.exists() else "")

    def start(self) -> None:
        """Starts the server, again on the port it had before."""
        if self.port:
            self._process.start(self._answers)
        else:
            start_on_free_ports(1, self._start_on)
        if self.trust_directory is not None:
            self._admit()

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        """As if the power had failed for this process alone (SIGKILL)."""
        self._process.kill()

    def set_nodes(self, nodes: Iterable[str]) -> None:
        """Makes these the nodes that may connect, while the server runs; seeds of known nodes stay as they are."""
        self._set_node_seeds(nodes)
        if self.trust_directory is not None:
            self._admit()
        else:
            self._reload()

    def set_ping_interval(self, seconds: int) -> None:
        """Clients that do not answer two of these are cut off, for a test that waits for that."""
        self._ping_interval_s = seconds
        self._reload()

    def _reload(self) -> None:
        self._write_config()
        for _ in range(RELOADS):
            seen = self._process.log_path.stat().st_size
            self._process.send(signal.SIGHUP)
            eventually_blocking(partial(self._reloaded_since, seen))

    def _reloaded_since(self, offset: int) -> bool:
        return b"Reloaded server configuration" in self._process.log_path.read_bytes()[offset:]

    @asynccontextmanager
    async def connect(
        self, seed: Path, *, inbox: str = "_INBOX", errors: list[str] | None = None, reconnect: bool = True
    ) -> AsyncIterator[Client]:
        """A connection with the nkey in `seed`; denied calls and other asynchronous errors are appended to `errors`."""

        async def on_error(exc: Exception) -> None:
            if errors is not None:
                errors.append(str(exc))

        client = await nats.connect(
            self.url,
            nkeys_seed=str(seed),
            user_jwt_cb=_jwt_reader(jwt_beside(seed)),
            inbox_prefix=inbox,
            error_cb=on_error,
            allow_reconnect=reconnect,
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,
        )
        try:
            yield client
        finally:
            await client.close()

    @asynccontextmanager
    async def connect_coordinator(self, errors: list[str] | None = None) -> AsyncIterator[Client]:
        async with self.connect(self.coordinator_seed, errors=errors) as client:
            yield client

    @asynccontextmanager
    async def connect_operator(self, errors: list[str] | None = None) -> AsyncIterator[Client]:
        async with self.connect(self.operator_seed, errors=errors) as client:
            yield client

    @asynccontextmanager
    async def connect_node(self, node: str, errors: list[str] | None = None) -> AsyncIterator[Client]:
        """As the node's agent connects."""
        async with self.connect(self.node_seeds[node], inbox=inbox_prefix(node), errors=errors) as client:
            yield client

    def admits(self, seed: Path) -> bool:
        """Whether the server accepts the nkey.  By hand: the client library leaves a refused connection unclosed."""
        pair = nkeys.from_seed(bytearray(seed.read_bytes().strip()))
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            stream = connection.makefile("rwb")
            with stream:
                nonce = json.loads(stream.readline()[5:])["nonce"]
                jwt = jwt_beside(seed)
                identity = {"jwt": jwt.read_text().strip()} if jwt.exists() else {"nkey": bytes(pair.public_key).decode()}
                options = {
                    **identity,
                    "sig": base64.b64encode(pair.sign(nonce.encode())).decode(),
                    "verbose": False,
                    "protocol": 1,
                    "lang": "test",
                    "version": "0",
                }
                stream.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
                stream.flush()
                answer = stream.readline()
        assert answer.startswith((b"PONG", b"-ERR 'Authorization Violation'")), answer
        return answer.startswith(b"PONG")

    def _set_node_seeds(self, nodes: Iterable[str]) -> None:
        self.node_seeds = {node: self.directory / f"node-{node}.nk" for node in nodes}

    def _admit(self) -> None:
        """Admits the nodes that have no account yet, and expels those that are no longer among the nodes."""
        for node, seed in self.node_seeds.items():
            if node not in self.accounts:
                admission = self.authority.admit(node, ensure_user_seed(seed), now=utc_now(), valid_for=None)
                credentials = blocking(admission)
                jwt_beside(seed).write_text(credentials.user_jwt)
                self.accounts[node] = credentials.account
        for node in self.accounts.keys() - self.node_seeds.keys():
            blocking(self.authority.expel(node, self.accounts.pop(node), now=utc_now()))

    def _start_on(self, ports: list[int]) -> None:
        (self.port,) = ports
        self._write_config()
        self._process.start(self._answers)

    def _write_config(self) -> None:
        coordinator_key, operator_key = ensure_user_seed(self.coordinator_seed), ensure_user_seed(self.operator_seed)
        resolver = None
        if self.trust_directory is not None:
            now = utc_now()
            resolver = Resolver(book=ensure_trust(self.trust_directory, now=now), directory=self.resolver_directory)
            jwt_beside(self.coordinator_seed).write_text(coordinator_jwt(self.trust_directory, coordinator_key, now=now))
            jwt_beside(self.operator_seed).write_text(operator_jwt(self.trust_directory, operator_key, now=now))
        settings = NatsSettings(
            port=self.port,
            store_dir=self.directory / "jetstream",
            coordinator_key=coordinator_key,
            operator_key=operator_key,
            nodes=[NodeAccess(name=node, public_key=ensure_user_seed(seed)) for node, seed in self.node_seeds.items()],
            trust=resolver,
            ping_interval_s=self._ping_interval_s,
        )
        write_private(self._config, render_config(settings))

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                greeting = connection.makefile("rb").readline()
        except OSError:
            return False
        return greeting.startswith(b"INFO ") and bool(json.loads(greeting[5:]).get("jetstream"))


def _jwt_reader(path: Path) -> Callable[[], bytearray] | None:
    return (lambda: bytearray(path.read_bytes().strip())) if path.exists() else None


NatsFactory = Callable[..., NatsServer]
