"""The whole platform as separate processes, so that each can be killed: nats-server, S3, coordinator, agents, PostgreSQL."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import tomli_w
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from contracts import control
from contracts.control import Verb
from contracts.errors import Conflict
from contracts.events import Event
from contracts.policy.schedule import Off
from contracts.records import BackupRecord, RestoreRecord, RunState
from contracts.services import PostgreSQLOptions
from daemon.embedded.private_files import write_private
from daemon.keys.master import MasterKey
from tests.daemon.events import stored_events
from tests.daemon.running import Operator
from tests.servers.nats import NatsServer
from tests.servers.postgres import PostgresCluster
from tests.servers.process import ServerProcess
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

Q = TypeVar("Q")
A = TypeVar("A")

_REAPER = {"every_s": 0.2, "start_deadline_s": 60.0, "lost_after_s": 60.0, "settle_after_s": 1.0}


class Platform:
    """Starts, kills and asks.  `node-1` serves `acme/orders` on the given cluster."""

    def __init__(self, directory: Path, nats_server: NatsServer, bucket: Bucket, cluster: PostgresCluster) -> None:
        self.directory = directory
        self.nats = nats_server
        self.bucket = bucket
        self.cluster = cluster
        self.services_dir = directory / "services.d"
        self.services_dir.mkdir()
        self.reaper: dict[str, float] = dict(_REAPER)
        self.store: dict[str, Any] = {}
        self.upload: dict[str, Any] = {}
        self._processes: dict[str, ServerProcess] = {}
        write_private(directory / "master.key", MasterKey.generate().reveal())

    def start_coordinator(self, name: str = "coordinator", **settings: Any) -> ServerProcess:
        """Returns when it answers."""
        server = self.bucket.server
        credentials = self.directory / "store.toml"
        write_private(credentials, tomli_w.dumps({"access_key": server.access_key, "secret_key": server.secret_key}))
        config = {
            "master_key_file": str(self.directory / "master.key"),
            "nats": {"url": self.nats.url, "nkey_file": str(self.nats.coordinator_seed)},
            "store": {
                "bucket": self.bucket.name,
                "endpoint_url": server.endpoint_url,
                "region": server.region,
                "credentials_file": str(credentials),
                **self.store,
            },
            "reaper": self.reaper,
            "request_ack_wait_s": 2.0,
            **settings,
        }
        return self._start(name, ["-m", "daemon"], config, "coordinator.ready")

    def start_agent(self, node: str = "node-1", **settings: Any) -> ServerProcess:
        """Returns when it listens."""
        home = self.directory / node
        home.mkdir(exist_ok=True)
        config = {
            "node": node,
            "identity_file": str(home / "identity.txt"),
            "services_dir": str(self.services_dir),
            "runtime_dir": str(home / "run"),
            "heartbeat_s": 0.5,
            "check_every_s": 0.5,
            "nats": {"url": self.nats.url, "nkey_file": str(self.nats.node_seeds[node])},
            "upload": {"spool_dir": str(home / "spool"), **self.upload},
            **settings,
        }
        return self._start(f"agent-{node}", ["-m", "agents", "run"], config, "agent.ready")

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def kill(self, name: str) -> None:
        """SIGKILL, and nothing is done about it."""
        self._processes[name].kill()

    def stop_one(self, name: str, number: signal.Signals) -> None:
        """Returns when the process has ended."""
        self._processes[name].stop(number)

    def signal_one(self, name: str, number: signal.Signals) -> None:
        """Sends the signal, and does not wait for what comes of it."""
        self._processes[name].send(number)

    def stop(self) -> None:
        for process in reversed(self._processes.values()):
            process.kill()

    def write_service(self, service: str = "acme/orders", **connection: Any) -> None:
        """The connection file of a service, as an operator of the host writes it."""
        password = self.directory / "password"
        write_private(password, self.cluster.password)
        fields = {
            "kind": "postgresql",
            "host": self.cluster.host,
            "port": self.cluster.port,
            "user": self.cluster.superuser,
            "password_file": str(password),
            **connection,
        }
        path = self.services_dir / f"{service.replace('/', '.')}.toml"
        write_private(path, tomli_w.dumps({"service": service, "connection": fields}))

    @asynccontextmanager
    async def operator(self) -> AsyncIterator[PlatformOperator]:
        async with self.nats.connect_operator() as client:
            yield PlatformOperator(client)

    def _start(self, name: str, module: list[str], config: dict[str, Any], ready: str) -> ServerProcess:
        path = self.directory / f"{name}.toml"
        write_private(path, tomli_w.dumps(config))
        process = self._processes.get(name)
        if process is None:
            argv = [sys.executable, *module, "--config", str(path)]
            environment = {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1"}
            process = self._processes[name] = ServerProcess(name, argv, directory=self.directory, env=environment)
        begin = process.log_path.stat().st_size if process.log_path.exists() else 0
        process.start(lambda: ready in process.log_path.read_text()[begin:])
        return process


class PlatformOperator(Operator):
    """What the tests ask again and again."""

    async def set_up(self, *nodes: str, options: PostgreSQLOptions | None = None) -> None:
        """The project `acme` with the service `orders` on the nodes, all of them alive."""
        await self.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        for node in nodes:
            await self.call(control.NODE_ADD, control.NodeRef(node=node))
        service = control.ServiceAdd(
            project="acme",
            name="orders",
            options=options or PostgreSQLOptions(),
            nodes=list(nodes),
            schedule=Off(),
        )
        await self.call(control.SERVICE_ADD, service)
        for node in nodes:
            await self.alive(node)

    async def alive(self, node: str) -> None:
        """Waits for a heartbeat."""

        async def is_alive() -> bool:
            nodes = (await self.call(control.NODE_LIST, control.Nothing())).nodes
            return any(view.record.name == node and view.alive is not None for view in nodes)

        await eventually(is_alive)

    async def reached(self, node: str, service: str) -> None:
        """Waits until the node's agent tells that it reaches the service's engine."""

        async def is_reached() -> bool:
            for view in (await self.call(control.NODE_LIST, control.Nothing())).nodes:
                if view.record.name == node and view.alive is not None:
                    health = view.alive.services.get(service)
                    return health is not None and health.reachable
            return False

        await eventually(is_reached, 20)

    async def call_patiently(self, verb: Verb[Q, A], request: Q) -> A:
        """As `call`, asked again when a coordinator that stands still was given the question."""

        async def answered() -> A | None:
            try:
                return await self.call(verb, request, timeout_s=1)
            except NatsTimeoutError:
                return None

        answer: A = await eventually(answered, 30)
        return answer

    async def request(self, **fields: Any) -> BackupRecord:
        call = msgspec.convert({"project": "acme", "service": "orders", **fields}, control.BackupCreate)
        return await self.call(control.BACKUP_CREATE, call)

    async def request_when_free(self) -> BackupRecord:
        """A backup, as soon as the one before has let go of the service."""

        async def accepted() -> BackupRecord | None:
            try:
                return await self.request()
            except Conflict:
                return None

        return await eventually(accepted)

    async def is_answered(self) -> None:
        """Waits until a coordinator listens, which after a restart of the NATS server takes it a moment."""

        async def answered() -> bool:
            try:
                await self.call(control.STATUS, control.Nothing())
            except NoRespondersError:
                return False
            return True

        await eventually(answered)

    async def newest(self) -> BackupRecord:
        found = await self.call(control.BACKUP_LIST, control.BackupList(project="acme", service="orders"))
        return found.backups[0]

    async def record(self, backup: BackupRecord) -> BackupRecord:
        return await self.call(control.BACKUP_RECORD, control.RunRefRequest(project="acme", service="orders", id=backup.id))

    async def ended(self, backup: BackupRecord, timeout_s: float = 60) -> BackupRecord:
        """The record once the run has ended, whatever it ended with."""

        async def has_ended() -> BackupRecord | None:
            record = await self.record(backup)
            return None if record.state.is_active else record

        return await eventually(has_ended, timeout_s)

    async def completed(self, backup: BackupRecord, timeout_s: float = 60) -> BackupRecord:
        record = await self.ended(backup, timeout_s)
        assert record.state is RunState.COMPLETED, record.error
        return record

    async def restore(self, backup: BackupRecord, **fields: Any) -> RestoreRecord:
        """The record of a restore that has ended, whatever it ended with."""
        call = msgspec.convert({"project": "acme", "service": "orders", "id": backup.id, **fields}, control.RestoreCreate)
        restore = await self.call(control.RESTORE_CREATE, call)

        async def has_ended() -> RestoreRecord | None:
            reference = control.RunRefRequest(project="acme", service="orders", id=restore.id)
            record = await self.call(control.RESTORE_SHOW, reference)
            return None if record.state.is_active else record

        return await eventually(has_ended, 60)

    async def stored_events(self) -> list[Event]:
        return await stored_events(self.client)
