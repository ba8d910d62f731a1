"""Embedded mode: nats-server, SeaweedFS, the coordinator and one agent on this machine, from nothing.

Everything lies in one directory and is made at the first start; later starts find it again.  All ports are on loopback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import tomli_w

from contracts import control
from contracts.errors import StrongroomError
from contracts.ids import check_slug
from contracts.settings import NatsSettings
from daemon.cli.client import ControlClient, connect_operator
from daemon.embedded.children import Child, ChildSpec, plain_environment
from daemon.embedded.data_dir import hold_data_dir
from daemon.embedded.nats_config import NodeAccess
from daemon.embedded.nats_server import EmbeddedNats, EmbeddedNatsSettings, start_nats
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.object_store import EmbeddedStore, EmbeddedStoreSettings, start_object_store
from daemon.embedded.private_files import make_private_dir, write_private
from daemon.embedded.store_config import StoreLimits
from daemon.embedded.supervisor import Supervisor
from daemon.keys.master import MasterKey

_READY_S: Final = 60.0
_AGENT_STOP_S: Final = 15.0
_STORE_STOP_S: Final = 4.0
"""It would wait for a quarter of a minute for subscribers that are all its own, and close its volumes after that.  It is
killed instead, once everything is on the disk, which it survives."""


@dataclass(frozen=True, kw_only=True)
class UpOptions:
    """What a person may choose."""

    data: Path
    """For everything: configuration, keys, streams, objects, logs."""
    nats_port: int | None = None
    """None: any free one."""
    s3_port: int | None = None
    """None: that of the last start if it is free, else any free one."""
    node: str = "local"
    limits: StoreLimits | None = None
    log_level: str = "info"
    throwaway: bool = False
    """The data go when the block is left, so nothing needs to end in order."""


@dataclass(frozen=True, kw_only=True)
class Stack:
    """Where everything is."""

    data: Path
    node: str
    nats_url: str
    s3_url: str
    bucket: str
    operator_config: Path
    """What the `strongroom` command needs to reach this coordinator."""
    services_dir: Path
    """Where the agent looks for the connection settings of its services."""
    logs: dict[str, Path]
    master_key: Path


@dataclass(frozen=True)
class _Places:
    data: Path

    @property
    def config(self) -> Path:
        return self.data / "config"

    @property
    def services(self) -> Path:
        return self.data / "services.d"

    @property
    def operator_config(self) -> Path:
        return self.data / "operator.toml"

    @property
    def master_key(self) -> Path:
        return self.data / "master.key"


@asynccontextmanager
async def running_stack(options: UpOptions) -> AsyncIterator[Stack]:
    """Everything runs and works on entering, and is stopped in reverse order on leaving.

    Raises: Conflict when another process uses the directory; ChildFailed with the end of a log when a part cannot be
    started or kept alive.
    """
    check_slug(options.node, "node")
    places = _Places(make_private_dir(options.data.resolve()))
    for path in (places.config, places.services):
        make_private_dir(path)
    async with hold_data_dir(places.data):
        node_seed = places.config / f"node-{options.node}.nk"
        access = NodeAccess(name=options.node, public_key=ensure_user_seed(node_seed))
        async with Supervisor() as supervisor:
            nats = await start_nats(
                supervisor,
                EmbeddedNatsSettings(directory=places.data / "nats", port=options.nats_port, nodes=[access]),
            )
            store = await start_object_store(
                supervisor,
                EmbeddedStoreSettings(
                    directory=places.data / "objects",
                    s3_port=options.s3_port,
                    limits=options.limits,
                    stop_grace_s=0.0 if options.throwaway else _STORE_STOP_S,
                ),
            )
            operator_nats = {"url": nats.url, "nkey_file": str(nats.operator_seed)}
            _write_toml(places.operator_config, {"nats": operator_nats})
            coordinator = await _start_coordinator(supervisor, places, nats, store, options)
            await _register(nats, options.node)
            agent = await _start_agent(supervisor, places, nats, node_seed, options)
            try:
                yield Stack(
                    data=places.data,
                    node=options.node,
                    nats_url=nats.url,
                    s3_url=store.endpoint_url,
                    bucket=store.bucket,
                    operator_config=places.operator_config,
                    services_dir=places.services,
                    logs={child.name: child.log.path for child in (nats.child, store.child, coordinator, agent)},
                    master_key=places.master_key,
                )
            finally:
                if not options.throwaway:
                    await store.flush()


async def _start_coordinator(
    supervisor: Supervisor, places: _Places, nats: EmbeddedNats, store: EmbeddedStore, options: UpOptions
) -> Child:
    if not places.master_key.exists():
        write_private(places.master_key, MasterKey.generate().reveal() + "\n")
    credentials = places.config / "store.toml"
    _write_toml(credentials, {"access_key": store.credentials.access_key, "secret_key": store.credentials.secret_key})
    config = places.config / "coordinator.toml"
    _write_toml(
        config,
        {
            "master_key_file": str(places.master_key),
            "log_level": options.log_level,
            "nats": {"url": nats.url, "nkey_file": str(nats.coordinator_seed)},
            "store": {
                "bucket": store.bucket,
                "endpoint_url": store.endpoint_url,
                "region": store.region,
                "sync_dir": str(store.directory),
                "credentials_file": str(credentials),
            },
        },
    )

    async def ready() -> bool:
        return await _operator_says(nats, lambda operator: operator.ask(control.STATUS, control.Nothing()))

    child = Child(
        ChildSpec(
            name="coordinator",
            argv=(sys.executable, "-m", "daemon", "--config", str(config)),
            directory=make_private_dir(places.data / "coordinator"),
            environment=_python_environment(),
            ready=ready,
            error_code="internal",
            ready_timeout_s=_READY_S,
        )
    )
    await supervisor.start(child)
    return child


async def _start_agent(
    supervisor: Supervisor, places: _Places, nats: EmbeddedNats, node_seed: Path, options: UpOptions
) -> Child:
    directory = make_private_dir(places.data / "agent")
    config = places.config / "agent.toml"
    _write_toml(
        config,
        {
            "node": options.node,
            "identity_file": str(directory / "identity.txt"),
            "services_dir": str(places.services),
            "runtime_dir": str(directory / "run"),
            "log_level": options.log_level,
            "heartbeat_s": 2.0,
            "nats": {"url": nats.url, "nkey_file": str(node_seed)},
            "upload": {"spool_dir": str(directory / "spool")},
        },
    )
    began = datetime.now(UTC)

    async def ready() -> bool:
        async def is_alive(operator: ControlClient) -> bool:
            nodes = (await operator.ask(control.NODE_LIST, control.Nothing())).nodes
            # A heartbeat of the former agent may still be remembered.
            return any(
                view.record.name == options.node
                and view.alive is not None
                and view.alive.started_at is not None
                and view.alive.started_at >= began
                for view in nodes
            )

        return await _operator_says(nats, is_alive)

    child = Child(
        ChildSpec(
            name="agent",
            argv=(sys.executable, "-m", "agents", "run", "--config", str(config)),
            directory=directory,
            environment=_python_environment(),
            ready=ready,
            error_code="internal",
            ready_timeout_s=_READY_S,
            stop_grace_s=_AGENT_STOP_S,
        )
    )
    await supervisor.start(child)
    return child


async def _register(nats: EmbeddedNats, node: str) -> None:
    async with connect_operator(_operator_settings(nats)) as operator:
        nodes = (await operator.ask(control.NODE_LIST, control.Nothing())).nodes
        if all(view.record.name != node for view in nodes):
            await operator.ask(control.NODE_ADD, control.NodeRef(node=node))


async def _operator_says(nats: EmbeddedNats, question: Callable[[ControlClient], Awaitable[object]]) -> bool:
    """Whether the question could be asked and was answered with anything but False."""
    try:
        async with connect_operator(_operator_settings(nats)) as operator:
            return await question(operator) is not False
    except StrongroomError:
        return False


def _operator_settings(nats: EmbeddedNats) -> NatsSettings:
    return NatsSettings(url=nats.url, nkey_file=str(nats.operator_seed))


def _python_environment() -> dict[str, str]:
    """The plain environment, and where this interpreter finds its packages."""
    kept = {name: os.environ[name] for name in ("PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    return {**plain_environment(), **kept, "PYTHONUNBUFFERED": "1"}


def _write_toml(path: Path, content: dict[str, Any]) -> None:
    write_private(path, tomli_w.dumps(content))
