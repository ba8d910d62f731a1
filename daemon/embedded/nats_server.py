"""nats-server as a child: its files, its start, and the addition of nodes while it runs."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from contracts.errors import InvalidInput
from daemon.embedded.binaries import NATS_SERVER, find_program
from daemon.embedded.children import Child, ChildSpec
from daemon.embedded.nats_config import RELOADS, NatsSettings, NodeAccess, render_config
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.ports import LOOPBACK, start_with_free_ports
from daemon.embedded.private_files import make_private_dir, write_private
from daemon.embedded.supervisor import Supervisor

_GREETING_TIMEOUT_S: Final = 2.0
_RELOAD_TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.02
_ERROR_CODE: Final = "bus.unavailable"


@dataclass(frozen=True, kw_only=True)
class EmbeddedNatsSettings:
    """What the embedded nats-server needs to know."""

    directory: Path
    """For the configuration, the streams, the log and the two seeds; made when absent."""
    port: int | None = None
    """None: any free port, another one after each start."""
    nodes: Sequence[NodeAccess] = ()
    program: Path | None = None
    """None: see `daemon.embedded.binaries`."""


class EmbeddedNats:
    """A running nats-server.  `coordinator_seed` and `operator_seed` are files with nkey seeds."""

    def __init__(self, child: Child, config: Path, settings: NatsSettings, seeds: tuple[Path, Path]) -> None:
        self.child = child
        self.coordinator_seed, self.operator_seed = seeds
        self._config = config
        self._settings = settings
        self._lock = asyncio.Lock()

    @property
    def url(self) -> str:
        return f"nats://{self._settings.host}:{self._settings.port}"

    @property
    def nodes(self) -> tuple[NodeAccess, ...]:
        return tuple(self._settings.nodes)

    async def set_nodes(self, nodes: Sequence[NodeAccess]) -> None:
        """Makes these the nodes that may connect.  Others are disconnected at once, known ones notice nothing.

        The server knows the new nodes when this returns; it also knows them after a restart.
        Raises: InvalidInput, with nothing changed; ChildFailed when the server did not confirm in 10 s.
        """
        async with self._lock:
            settings = replace(self._settings, nodes=tuple(nodes))
            await self._check_and_write(render_config(settings))
            self._settings = settings
            if not self.child.running:
                return  # dead and about to be restarted, with the new file
            for _ in range(RELOADS):
                await self._reload()

    async def _check_and_write(self, text: str) -> None:
        candidate = self._config.with_name("nats.conf.new")
        await asyncio.to_thread(write_private, candidate, text)
        try:
            process = await asyncio.create_subprocess_exec(
                self.child.spec.argv[0],
                "-t",
                "-c",
                str(candidate),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            output, _ = await process.communicate()
            if process.returncode != 0:
                raise InvalidInput(
                    "config.invalid", "nats-server refuses the configuration", detail=output.decode(errors="replace")
                )
            await asyncio.to_thread(write_private, self._config, text)
        finally:
            candidate.unlink(missing_ok=True)

    async def _reload(self) -> None:
        # The server has no other channel for the outcome of a reload than its log.
        seen = self.child.log.size()
        self.child.send(signal.SIGHUP)
        deadline = time.monotonic() + _RELOAD_TIMEOUT_S
        while time.monotonic() < deadline:
            news = self.child.log.read_from(seen)
            if "Reloaded server configuration" in news:
                return
            if "Failed to reload server configuration" in news or not self.child.running:
                break
            await asyncio.sleep(_POLL_S)
        raise self.child.failure("did not take over the new configuration")


async def start_nats(supervisor: Supervisor, settings: EmbeddedNatsSettings) -> EmbeddedNats:
    """Starts nats-server under the supervisor and returns when it serves, JetStream included.

    Raises: ProgramMissing; InvalidInput for bad nodes; PortTaken when the configured port is in use; ChildFailed.
    """
    program = await asyncio.to_thread(find_program, NATS_SERVER, settings.program)
    directory = make_private_dir(settings.directory)
    seeds = (directory / "coordinator.nk", directory / "operator.nk")
    coordinator_key, operator_key = (ensure_user_seed(seed) for seed in seeds)
    config = directory / "nats.conf"

    async def start_on(ports: Sequence[int]) -> EmbeddedNats:
        rendered = NatsSettings(
            port=ports[0],
            store_dir=directory,  # the server adds `jetstream/`
            coordinator_key=coordinator_key,
            operator_key=operator_key,
            nodes=tuple(settings.nodes),
            # Tells this server from any other that might listen on the port.
            server_name=f"strongroom-{coordinator_key[-12:].lower()}",
        )
        await asyncio.to_thread(write_private, config, render_config(rendered))
        child = Child(
            ChildSpec(
                name="nats-server",
                argv=(str(program), "-c", str(config)),
                directory=directory,
                ready=lambda: _serves(rendered.port, rendered.server_name),
                error_code=_ERROR_CODE,
            )
        )
        await supervisor.start(child)
        return EmbeddedNats(child, config, rendered, seeds)

    if settings.port is None:
        return await start_with_free_ports(1, start_on)
    return await start_on([settings.port])


async def _serves(port: int, server_name: str) -> bool:
    """Whether our server greets on the port; it begins to listen when JetStream has recovered its files."""
    try:
        async with asyncio.timeout(_GREETING_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            try:
                greeting = await reader.readline()
            finally:
                writer.close()
                await writer.wait_closed()
    except (OSError, TimeoutError, ValueError):
        return False
    if not greeting.startswith(b"INFO "):
        return False
    info = json.loads(greeting[5:])
    return bool(info.get("jetstream")) and info.get("server_name") == server_name
