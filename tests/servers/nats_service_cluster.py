"""Three real nats-servers that are one JetStream cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import nats
from nats.aio.client import Client

from daemon.embedded.binaries import NATS_SERVER, find_program
from daemon.embedded.ports import free_ports
from tests.servers.process import ServerProcess

NAMES: Final = ("n1", "n2", "n3")


class NatsCluster:
    """`kill` and `start` single servers by name.  Nobody has to log in."""

    def __init__(self, directory: Path) -> None:
        ports = free_ports(2 * len(NAMES))
        self._ports = dict(zip(NAMES, ports, strict=False))
        routes = dict(zip(NAMES, ports[len(NAMES) :], strict=True))
        every = ", ".join(f"nats://127.0.0.1:{port}" for port in routes.values())
        self._servers: dict[str, ServerProcess] = {}
        for name in NAMES:
            config = directory / f"{name}.conf"
            config.write_text(
                f"server_name: {name}\nlisten: 127.0.0.1:{self._ports[name]}\n"
                f'jetstream {{ store_dir: "{directory / name}" }}\n'
                f"cluster {{ name: c, listen: 127.0.0.1:{routes[name]}, routes: [{every}] }}\n"
            )
            self._servers[name] = ServerProcess(
                name, [str(find_program(NATS_SERVER)), "-c", str(config)], directory=directory
            )

    @property
    def urls(self) -> list[str]:
        return [f"nats://127.0.0.1:{port}" for port in self._ports.values()]

    def start(self, *names: str) -> None:
        for name in names or NAMES:
            log = self._servers[name].log_path
            self._servers[name].start(lambda log=log: "Server is ready" in log.read_text())  # type: ignore[misc]

    def kill(self, *names: str) -> None:
        for name in names or NAMES:
            self._servers[name].kill()

    async def connect(self) -> Client:
        return await nats.connect(self.urls, name="the test", max_reconnect_attempts=-1, reconnect_time_wait=0.1)


@contextmanager
def running_cluster(directory: Path) -> Iterator[NatsCluster]:
    cluster = NatsCluster(directory)
    with ExitStack() as stack:
        stack.callback(cluster.kill)
        cluster.start()
        yield cluster
