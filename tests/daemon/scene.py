"""A whole small world around a coordinator whose clock the test sets: a project, services, robots that back them up."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from contracts import control
from contracts.events import Event
from contracts.policy.retention_policy import RetentionPolicy
from contracts.policy.schedule import Off, Schedule
from contracts.records import BackupRecord, DueRecord, RunState
from contracts.services import PostgreSQLOptions
from contracts.subjects import control_subject
from daemon.settings import CoordinatorSettings
from tests.daemon.events import stored_events
from tests.daemon.robots import RobotAgent, robot
from tests.daemon.running import Operator, SetClock, running_coordinator
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually

OFF = Off()
DEFAULT = RetentionPolicy()


def at(text: str) -> datetime:
    """`2026-03-01 00:30` in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


class Scene:
    """The project `acme` as an operator sees it; services are named without it."""

    def __init__(self, operator: Operator, clock: SetClock, robots: dict[str, RobotAgent]) -> None:
        self.operator = operator
        self.clock = clock
        self.robots = robots
        self.url = ""
        """Of the first coordinator, where it listens for HTTP."""

    @property
    def robot(self) -> RobotAgent:
        """The first one."""
        return next(iter(self.robots.values()))

    async def add_service(
        self,
        name: str = "orders",
        *,
        schedule: Schedule | None = OFF,
        retention: RetentionPolicy = DEFAULT,
        nodes: Sequence[str] = (),
        project: str = "acme",
    ) -> None:
        """A service whose nodes, by default all, are known to reach it."""
        for each in self.robots.values():
            each.health.setdefault(f"{project}/{name}", next(iter(each.health.values())))
        add = control.ServiceAdd(
            project=project,
            name=name,
            options=PostgreSQLOptions(),
            nodes=list(nodes or self.robots),
            schedule=schedule,
            retention=retention,
        )
        await self.operator.call(control.SERVICE_ADD, add)

    async def alive(self) -> None:
        """Waits for a heartbeat of each robot that tells of everything it is to tell of."""
        for each in self.robots.values():
            await each.beat(services=each.health)

        async def heard() -> bool:
            views = (await self.operator.call(control.NODE_LIST, control.Nothing())).nodes
            told = {view.record.name: view.alive.services for view in views if view.alive is not None}
            return all(told.get(name) == each.health for name, each in self.robots.items())

        await eventually(heard)

    async def request(self, service: str = "orders", *, project: str = "acme", **fields: Any) -> BackupRecord:
        """A manual backup, just asked for."""
        call = msgspec.convert({"project": project, "service": service, **fields}, control.BackupCreate)
        return await self.operator.call(control.BACKUP_CREATE, call)

    async def make(self, service: str = "orders", *, project: str = "acme", **fields: Any) -> BackupRecord:
        """A manual backup that has ended, whatever it ended with, and all that followed from it."""
        asked = await self.request(service, project=project, **fields)
        await self.idle(service, project=project)
        return await self.record(asked)

    async def passes(self, moment: datetime, service: str = "orders") -> DueRecord:
        """Sets the clock to a due time of the service; its entry once it is decided, and all that followed from it."""
        self.clock.set(moment)

        async def decided() -> DueRecord | None:
            entries = {entry.due_at: entry for entry in await self.ledger(service)}
            entry = entries.get(moment)
            return entry if entry is not None and not entry.state.is_open else None

        entry = await eventually(decided)
        await self.idle(service)
        return entry

    async def idle(self, service: str = "orders", *, project: str = "acme") -> None:
        """Waits until no run has the service's place."""

        async def free() -> bool:
            reference = control.ServiceRef(project=project, service=service)
            return not (await self.operator.call(control.SERVICE_SHOW, reference)).active

        await eventually(free)

    async def is_answered(self) -> None:
        """Waits until a coordinator answers, which after a restart of the NATS server takes it a moment."""

        async def answered() -> bool:
            try:
                await self.operator.client.request(control_subject("status"), b"{}", timeout=0.5)
            except (NatsTimeoutError, NoRespondersError):
                return False
            return True

        await eventually(answered, 30)

    async def record(self, run: BackupRecord) -> BackupRecord:
        reference = control.RunRefRequest(project=run.project, service=run.service, id=run.id)
        return await self.operator.call(control.BACKUP_RECORD, reference)

    async def backups(self, service: str = "orders", *, project: str = "acme") -> list[BackupRecord]:
        """All records, oldest first."""
        request = control.BackupList(project=project, service=service, limit=10_000)
        return list(reversed((await self.operator.call(control.BACKUP_LIST, request)).backups))

    async def completed(self, service: str = "orders") -> list[BackupRecord]:
        """Oldest first."""
        return [backup for backup in await self.backups(service) if backup.state is RunState.COMPLETED]

    async def ledger(self, service: str = "orders", *, project: str = "acme") -> list[DueRecord]:
        """Oldest first."""
        request = control.ServiceDues(project=project, service=service, next=0, past=10_000)
        return list(reversed((await self.operator.call(control.SERVICE_DUES, request)).past))

    async def usage(self, *, check: bool = True, project: str = "acme") -> control.Usage:
        return await self.operator.call(control.PROJECT_USAGE, control.ProjectUsage(project=project, check=check))

    async def events(self, *types: str) -> list[Event]:
        """Everything that the events stream holds, or what is of these types, in order."""
        return await stored_events(self.operator.client, *types)


@asynccontextmanager
async def scene(
    settings: CoordinatorSettings,
    nats_server: NatsServer,
    *,
    start: datetime,
    coordinators: int = 1,
    nodes: Sequence[str] = ("node-1",),
    is_new: bool = True,
    **quota: Any,
) -> AsyncIterator[Scene]:
    """`acme` with its robots alive and no service yet, at `start`; further fields go into the project's creation.

    With `is_new=False` everything is there already, from a scene before.
    """
    clock = SetClock(start)
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(running_coordinator(settings, now=clock)) for _ in range(coordinators)]
        operator = Operator(await stack.enter_async_context(nats_server.connect_operator()))
        if is_new:
            await operator.call(control.PROJECT_CREATE, msgspec.convert({"name": "acme", **quota}, control.ProjectCreate))
        robots = {}
        for node in nodes:
            if is_new:
                await operator.call(control.NODE_ADD, control.NodeRef(node=node))
            robots[node] = await stack.enter_async_context(robot(nats_server, node, "acme/orders"))
        made = Scene(operator, clock, robots)
        made.url = urls[0] if urls else ""
        await made.alive()
        yield made
