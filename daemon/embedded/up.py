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
from contracts.access import Role, TokenState
from contracts.errors import StrongroomError
from contracts.ids import check_slug
from contracts.settings import NatsSettings
from daemon.cli.bus_client import connect_operator
from daemon.cli.client import ControlClient
from daemon.embedded.children import Child, ChildSpec, plain_environment
from daemon.embedded.data_dir import hold_data_dir
from daemon.embedded.errors import PortTaken
from daemon.embedded.nats_config import NodeAccess
from daemon.embedded.nats_server import EmbeddedNats, EmbeddedNatsSettings, start_nats
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.object_store import EmbeddedStore, EmbeddedStoreSettings, start_object_store
from daemon.embedded.ports import LOOPBACK, free_ports, is_free
from daemon.embedded.private_files import make_private_dir, write_private
from daemon.embedded.store_config import StoreLimits
from daemon.embedded.supervisor import Supervisor
from daemon.keys.master import MasterKey

_USUAL_HTTP_PORT: Final = 8420
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
    http_port: int | None = None
    """None: that of the last start if it is free, else 8420, else any free one."""
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
    http_url: str
    """Of the pages and the HTTP API."""
    admin_token: Path
    """What lets its reader in there as an admin."""
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

    @property
    def admin_token(self) -> Path:
        return self.data / "admin.token"

    @property
    def http_port(self) -> Path:
        return self.config / "http.port"


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
            http_port = _choose_http_port(places, options)
            http_url = f"http://{LOOPBACK}:{http_port}"
            # Both ways in: over NATS, and over HTTP for whoever says STRONGROOM_USE=http.
            operator = {
                "nats": {"url": nats.url, "nkey_file": str(nats.operator_seed)},
                "http": {"url": http_url, "token_file": str(places.admin_token)},
            }
            _write_toml(places.operator_config, operator)
            coordinator = await _start_coordinator(supervisor, places, nats, store, options, http_port)
            await _register(nats, options.node)
            await _make_admin_token(nats, places)
            agent = await _start_agent(supervisor, places, nats, node_seed, options)
            try:
                yield Stack(
                    data=places.data,
                    node=options.node,
                    nats_url=nats.url,
                    s3_url=store.endpoint_url,
                    http_url=http_url,
                    admin_token=places.admin_token,
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
    supervisor: Supervisor, places: _Places, nats: EmbeddedNats, store: EmbeddedStore, options: UpOptions, http_port: int
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
            "http": {"host": LOOPBACK, "port": http_port},
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


def _choose_http_port(places: _Places, options: UpOptions) -> int:
    """A stable one where that is possible, since people keep bookmarks.  Raises: PortTaken for one that was asked for."""
    if options.http_port is not None:
        if not is_free(options.http_port):
            raise PortTaken("internal", "coordinator", f"cannot listen: port {options.http_port} is in use", log_tail="")
        port = options.http_port
    else:
        remembered = _read_port(places.http_port)
        # A throwaway stack must not take the place of the one that people look for there.
        usual = [] if options.throwaway else [_USUAL_HTTP_PORT]
        port = next((port for port in (*remembered, *usual) if is_free(port)), 0) or free_ports(1)[0]
    write_private(places.http_port, f"{port}\n")
    return port


def _read_port(path: Path) -> list[int]:
    """None where there is none that could be read."""
    try:
        return [int(path.read_text())]
    except (OSError, ValueError):
        return []


async def _make_admin_token(nats: EmbeddedNats, places: _Places) -> None:
    """The first way in over HTTP, or another one where that has ended.

    Whoever may read the file could read the operator's key beside it as well.
    """
    async with connect_operator(_operator_settings(nats)) as operator:
        if places.admin_token.exists():
            tokens = (await operator.ask(control.TOKEN_LIST, control.TokenList())).tokens
            there = places.admin_token.read_text(encoding="utf-8")
            if any(view.state is TokenState.ACTIVE and f"_{view.id}_" in there for view in tokens):
                return
        request = control.TokenCreate(name="first admin", role=Role.ADMIN, expires_in_days=None, actor="strongroom up")
        made = await operator.ask(control.TOKEN_CREATE, request)
    write_private(places.admin_token, f"{made.token}\n")


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
