"""A real nats-server with the accounts and permissions of production."""

from __future__ import annotations

import base64
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import nats
import nkeys  # type: ignore[import-untyped]
from nats.aio.client import Client

from daemon.embedded.binaries import NATS_SERVER, find_program
from daemon.embedded.nats_config import RELOADS, NatsSettings, NodeAccess, inbox_prefix, render_config
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.private_files import write_private
from tests.servers.process import ServerProcess, start_on_free_ports
from tests.servers.waiting import eventually_blocking


async def settle(client: Client) -> None:
    """Returns when the server has everything that was published and subscribed so far.

    Twice, because the library writes the PING of a flush past whatever still waits to be written.
    Source: nats-py 2.16, nats/aio/client.py, `_send_ping`, and measured.
    """
    await client.flush()
    await client.flush()


class NatsServer:
    """nats-server on a free loopback port, with JetStream in `directory`; the port stays over restarts.

    `coordinator_seed`, `operator_seed` and `node_seeds[name]` are files with nkey seeds.
    """

    def __init__(self, directory: Path, nodes: Iterable[str] = ()) -> None:
        self.directory = directory
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

    def start(self) -> None:
        """Starts the server, again on the port it had before."""
        if self.port:
            self._process.start(self._answers)
        else:
            start_on_free_ports(1, self._start_on)

    def stop(self) -> None:
        self._process.stop()

    def kill(self) -> None:
        """As if the power had failed for this process alone (SIGKILL)."""
        self._process.kill()

    def set_nodes(self, nodes: Iterable[str]) -> None:
        """Makes these the nodes that may connect, while the server runs; seeds of known nodes stay as they are."""
        self._set_node_seeds(nodes)
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
                options = {
                    "nkey": bytes(pair.public_key).decode(),
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

    def _start_on(self, ports: list[int]) -> None:
        (self.port,) = ports
        self._write_config()
        self._process.start(self._answers)

    def _write_config(self) -> None:
        settings = NatsSettings(
            port=self.port,
            store_dir=self.directory / "jetstream",
            coordinator_key=ensure_user_seed(self.coordinator_seed),
            operator_key=ensure_user_seed(self.operator_seed),
            nodes=[NodeAccess(name=node, public_key=ensure_user_seed(seed)) for node, seed in self.node_seeds.items()],
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


NatsFactory = Callable[..., NatsServer]
