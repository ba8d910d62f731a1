"""A fleet with a past: projects, nodes and services in every state there is, written down as a coordinator would have left
them, and agents that live.  For pictures, and for tests that need more than one service to look at."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.metadata
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Final

import msgspec

from contracts import control
from contracts.access import Role
from contracts.errors import ErrorInfo
from contracts.figures import size
from contracts.ids import due_run_id
from contracts.notifications import Severity
from contracts.object_keys import artifact_key, manifest_key
from contracts.policy.freeze import Freeze, FreezeCause
from contracts.policy.quota_plan import QuotaPlan
from contracts.policy.retention_policy import RetentionPolicy
from contracts.policy.schedule import Daily, Off, Schedule
from contracts.records import (
    ArtifactRecord,
    BackupRecord,
    DueRecord,
    DueState,
    EngineHealth,
    RunKind,
    RunState,
    RunSummary,
    ServiceRecord,
    ServiceState,
    Trigger,
    UsageRecord,
)
from contracts.reports import Progress
from contracts.requests import BackupRequest
from contracts.services import (
    ElasticsearchOptions,
    MariaDBOptions,
    MeilisearchOptions,
    NATSOptions,
    PostgreSQLOptions,
    QdrantOptions,
    ServiceOptions,
    SharedStorageOptions,
    kind_of,
)
from contracts.subjects import agent_progress_subject
from contracts.tasks import cancel_surely, cancellable
from contracts.wire import encode, utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.runs.events import EventPublisher
from tests.daemon.robots import RobotAgent, robot
from tests.e2e.stage import Stage
from tests.servers.waiting import eventually

MB: Final = 10**6
GB: Final = 10**9
NODES: Final = ("db-eu-1", "db-eu-2", "search-1", "files-1", "db-us-1")
SILENT: Final = "db-us-1"
"""Registered, and never heard of again."""
_PLANS: Final = {
    "acme": (QuotaPlan.CUSTOM, 400 * GB),
    "globex": (QuotaPlan.SERIOUS, None),
    "initech": (QuotaPlan.LIGHTWEIGHT, None),
}
_TIME_TAGS: Final = (("monthly", 30), ("weekly", 7))


class Painted(msgspec.Struct, frozen=True, kw_only=True):
    """A service, and what is to be seen of it."""

    project: str
    name: str
    options: ServiceOptions
    nodes: tuple[str, ...]
    size: int
    """Bytes of the newest backup; those before were smaller."""
    hours_ago: float = 5.0
    """Since the newest due time."""
    days: int = 45
    """How far its backups go back."""
    last: RunState = RunState.COMPLETED
    """What became of the newest due time."""
    error: ErrorInfo | None = None
    shrunk: bool = False
    """Whether the newest backup is suspiciously small."""
    unscheduled: bool = False
    version: str = "15.18"

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.name}"


_DUMP_FAILED: Final = ErrorInfo(
    code="dump.failed",
    message="pg_dump of the database invoices ended with status 1",
    detail="pg_dump: error: query failed: ERROR:  missing chunk number 0 for toast value 16552 in pg_toast_16401",
)

FLEET: Final = (
    Painted(
        project="acme", name="orders", options=PostgreSQLOptions(parallel=2), nodes=("db-eu-1", "db-eu-2"), size=3_800 * MB
    ),
    Painted(
        project="acme",
        name="billing",
        options=PostgreSQLOptions(),
        nodes=("db-eu-1",),
        size=1_100 * MB,
        hours_ago=3.1,
        last=RunState.FAILED,
        error=_DUMP_FAILED,
    ),
    Painted(
        project="acme", name="warehouse", options=PostgreSQLOptions(), nodes=("db-eu-2",), size=6_400 * MB, hours_ago=22.0
    ),
    Painted(
        project="acme", name="search", options=ElasticsearchOptions(), nodes=("search-1",), size=600 * MB, version="8.18.0"
    ),
    Painted(project="acme", name="sessions", options=NATSOptions(), nodes=("db-eu-1",), size=31 * MB, version="2.15.1"),
    Painted(project="acme", name="media", options=SharedStorageOptions(), nodes=("files-1",), size=4_100 * MB, version=""),
    Painted(
        project="globex",
        name="crm",
        options=MariaDBOptions(),
        nodes=("db-eu-2",),
        size=900 * MB,
        hours_ago=6.4,
        shrunk=True,
        version="10.11.14",
    ),
    Painted(project="globex", name="vectors", options=QdrantOptions(), nodes=("search-1",), size=90 * MB, version="1.15.4"),
    Painted(
        project="globex",
        name="catalog",
        options=MeilisearchOptions(),
        nodes=("search-1",),
        size=14 * MB,
        version="1.19.0",
    ),
    Painted(
        project="globex",
        name="ledger",
        options=PostgreSQLOptions(),
        nodes=(SILENT,),
        size=140 * MB,
        hours_ago=7.2,
        last=RunState.MISSED,
    ),
    Painted(project="initech", name="files", options=SharedStorageOptions(), nodes=("files-1",), size=0, days=0, version=""),
    Painted(project="initech", name="payroll", options=PostgreSQLOptions(), nodes=("db-eu-1",), size=9 * MB),
    Painted(
        project="initech",
        name="legacy",
        options=MariaDBOptions(method="logical"),
        nodes=("db-eu-2",),
        size=190 * MB,
        hours_ago=400.0,
        unscheduled=True,
        days=70,
        version="10.11.14",
    ),
)
RUNNING: Final = "acme/warehouse"
"""Backs up as long as somebody looks."""


@asynccontextmanager
async def painted_fleet(stage: Stage, now: datetime, fleet: Sequence[Painted] = FLEET) -> AsyncIterator[None]:
    """The fleet as it stands at `now`, its agents alive but one, and a backup under way."""
    projects = {service.project for service in fleet}
    for project in sorted(projects):
        plan, quota_bytes = _PLANS.get(project, (QuotaPlan.CUSTOM, None))
        await stage.operator.call(
            control.PROJECT_CREATE, control.ProjectCreate(name=project, plan=plan, quota_bytes=quota_bytes)
        )
    await stage.nodes(*NODES)
    async with stage.nats_server.connect_coordinator() as client:
        painter = _Painter(Catalog(client, client.jetstream(timeout=5)), EventPublisher(client.jetstream(timeout=5)), now)
        await painter.paint(fleet)
    async with AsyncExitStack() as stack:
        for node in NODES:
            if node != SILENT:
                served = [service for service in fleet if node in service.nodes]
                await stack.enter_async_context(_living(stage, node, served))
        await _all_heard_of(stage)
        if any(service.ref == RUNNING for service in fleet):
            project, _, service = RUNNING.partition("/")
            await stage.operator.call(control.BACKUP_CREATE, control.BackupCreate(project=project, service=service))
        yield


async def _all_heard_of(stage: Stage) -> None:
    """Returns when every agent that lives has said what it sees."""

    async def heard() -> bool:
        nodes = (await stage.operator.call(control.NODE_LIST, control.Nothing())).nodes
        return {node.record.name for node in nodes if node.alive} == set(NODES) - {SILENT}

    await eventually(heard, 30)


@asynccontextmanager
async def _living(stage: Stage, node: str, served: Sequence[Painted]) -> AsyncIterator[None]:
    async with robot(stage.nats_server, node, *(service.ref for service in served)) as agent:
        agent.health = {
            service.ref: EngineHealth(
                reachable=True,
                version=service.version,
                role="primary" if kind_of(service.options) in ("postgresql", "mariadb") else "",
            )
            for service in served
        }
        agent.may_finish.clear()
        agent.version, agent.started_at = importlib.metadata.version("strongroom"), utc_now() - timedelta(days=9, hours=3)
        sizes = {service.ref: service.size for service in served}
        telling = asyncio.create_task(cancellable(_tell_progress(agent, sizes)), name=f"progress:{node}")
        try:
            yield
        finally:
            await cancel_surely(telling)


async def _tell_progress(agent: RobotAgent, sizes: Mapping[str, int]) -> None:
    """About what it holds back, as an agent does."""
    elapsed_s = 160
    while True:
        await asyncio.sleep(0.5)
        elapsed_s += 1
        for request in agent.taken:
            await agent.client.publish(agent_progress_subject(agent.node), encode(_progress(request, sizes, elapsed_s)))


def _progress(request: BackupRequest, sizes: Mapping[str, int], elapsed_s: int) -> Progress:
    stored = min(elapsed_s * 20 * MB, sizes.get(f"{request.project}/{request.service}", GB) * 9 // 10)
    return Progress(
        run=RunKind.BACKUP,
        project=request.project,
        service=request.service,
        run_id=request.run_id,
        attempt=1,
        phase="dumping",
        artifact="warehouse",
        artifact_index=1,
        artifact_count=2,
        plain_bytes=stored * 3,
        stored_bytes=stored,
        estimate_bytes=3 * sizes.get(f"{request.project}/{request.service}", GB),
        elapsed_s=float(elapsed_s),
    )


async def painted_settings(stage: Stage) -> None:
    """Tokens and channels as a fleet in use has them."""
    for name, role, project in (
        ("grafana", Role.VIEWER, ""),
        ("ci of acme", Role.OPERATOR, "acme"),
        ("jane", Role.ADMIN, ""),
    ):
        await stage.token(role, project=project, name=name)
    old = await stage.token(Role.OPERATOR, project="globex", name="ci of globex")
    await stage.operator.call(control.TOKEN_REVOKE, control.TokenRef(id=old.view.id))
    for channel in (
        control.ChannelCreate(name="on-call", url="pagerduty://integration@key", min_severity=Severity.CRITICAL),
        control.ChannelCreate(
            name="team acme", url="mailtos://backups:secret@example.org?to=team@example.org", project="acme"
        ),
    ):
        await stage.operator.call(control.CHANNEL_CREATE, channel)


class _Painter:
    def __init__(self, catalog: Catalog, events: EventPublisher, now: datetime) -> None:
        self._catalog = catalog
        self._events = events
        self._now = now

    async def paint(self, fleet: Sequence[Painted]) -> None:
        stored: dict[str, int] = {}
        told: list[tuple[datetime, str, BackupRecord]] = []
        for service in fleet:
            backups = self._backups(service)
            await self._write(service, backups)
            told += self._news(backups)
            kept = sum(backup.size_bytes for backup in backups if backup.state is RunState.COMPLETED)
            stored[service.project] = stored.get(service.project, 0) + kept
        for at, verb, backup in sorted(told, key=lambda each: each[:2]):
            await self._events.run(verb, backup, at=at)
        for project, taken in stored.items():
            held = await self._catalog.usage.get(project)
            record = UsageRecord(project=project, stored_bytes=taken)
            if held is None:
                await self._catalog.usage.create(project, record)
            else:
                await self._catalog.usage.update(project, record, held.revision)

    def _backups(self, service: Painted) -> list[BackupRecord]:
        """Newest first: each day of the last two weeks, then each week."""
        ages = [day for day in range(service.days) if day < 14 or day % 7 == 0]
        return [self._backup(service, day) for day in ages]

    def _backup(self, service: Painted, day: int) -> BackupRecord:
        due_at = self._due(service, day)
        run_id = due_run_id(service.project, service.name, due_at)
        state = service.last if day == 0 else RunState.COMPLETED
        done = state is RunState.COMPLETED
        size = _size_of(service, day) if done else 0
        took = timedelta(seconds=20 + service.size / (95 * MB) + _jitter(service.ref, day) % 40)
        tags = ["daily", *(tag for tag, days in _TIME_TAGS if day % days == 0)] if done else []
        return BackupRecord(
            id=run_id,
            project=service.project,
            service=service.name,
            kind=kind_of(service.options),
            state=state,
            trigger=Trigger.SCHEDULE,
            requested_at=due_at,
            due_at=due_at,
            node=service.nodes[0],
            placement="the only healthy node",
            options=service.options,
            recipients=[],
            key_id="",
            started_at=due_at + timedelta(seconds=1) if state is not RunState.MISSED else None,
            finished_at=due_at + (took if state is not RunState.MISSED else timedelta(minutes=5)),
            tags=tags,
            artifacts=self._artifacts(service, run_id, size) if done else [],
            size_bytes=size,
            plain_bytes=3 * size,
            manifest_key=manifest_key(service.project, service.name, run_id) if done else "",
            summary={"databases": 2, "tables": 120} if done else {},
            error=service.error if state is RunState.FAILED else None,
        )

    def _artifacts(self, service: Painted, run_id: str, size: int) -> list[ArtifactRecord]:
        """One large and one small."""
        parts = (
            (service.name, "database", "pg_dump-custom", size - size // 100),
            ("globals", "globals", "sql", size // 100),
        )
        return [
            ArtifactRecord(
                name=name,
                kind=kind,
                format=form,
                object_key=artifact_key(service.project, service.name, run_id, 1, index, name, "zst.age"),
                stored_bytes=stored,
                plain_bytes=3 * stored,
                sha256=hashlib.sha256(f"{run_id}{name}".encode()).hexdigest(),
            )
            for index, (name, kind, form, stored) in enumerate(parts, 1)
        ]

    async def _write(self, service: Painted, backups: Sequence[BackupRecord]) -> None:
        age = timedelta(days=service.days, hours=service.hours_ago) if service.days else timedelta(minutes=40)
        since = self._now - age
        completed = next((backup for backup in backups if backup.state is RunState.COMPLETED), None)
        suspicious = None
        if service.shrunk and completed is not None:
            reason = (
                f"the newest backup, of {completed.requested_at:%Y-%m-%d %H:%M} UTC, is suspiciously small: "
                f"{size(completed.size_bytes)}, where {size(service.size)} is usual"
            )
            suspicious = Freeze(cause=FreezeCause.SUSPICIOUS_SIZE, run_id=completed.id, reason=reason)
        # The state first: whoever finds the service finds its schedule followed up to now.
        state = ServiceState(
            decided_until=self._now,
            last_automatic_at=completed.due_at if completed else None,
            last_size_bytes=completed.size_bytes if completed else None,
            last_completed=_summary(completed) if completed else None,
            last_run=_summary(backups[0]) if backups else None,
            freeze=suspicious,
        )
        await self._catalog.states.create(key(service.project, service.name), state)
        record = ServiceRecord(
            project=service.project,
            name=service.name,
            created_at=since,
            options=service.options,
            nodes=list(service.nodes),
            schedule=self._schedule(service),
            scheduled_since=since,
            retention=RetentionPolicy(),
        )
        await self._catalog.services.create(key(service.project, service.name), record)
        for backup in reversed(backups):
            await self._catalog.backups.create(key(service.project, service.name, backup.id), backup)
        await self._write_ledger(service)

    async def _write_ledger(self, service: Painted) -> None:
        """Every due time, those too whose backups were deleted since."""
        for day in range(service.days):
            due_at = self._due(service, day)
            state = service.last if day == 0 else RunState.COMPLETED
            entry = DueRecord(
                project=service.project,
                service=service.name,
                due_at=due_at,
                run_id=due_run_id(service.project, service.name, due_at),
                has_run=True,
                state=DueState(str(state)),
                noted_at=due_at,
                reason="no agent took it up within 300 s" if state is RunState.MISSED else "",
            )
            await self._catalog.ledger.create(key(service.project, service.name, f"{due_at:%Y%m%dT%H%M%SZ}"), entry)

    def _due(self, service: Painted, day: int) -> datetime:
        return (self._now - timedelta(hours=service.hours_ago, days=day)).replace(microsecond=0)

    def _news(self, backups: Sequence[BackupRecord]) -> list[tuple[datetime, str, BackupRecord]]:
        """Of the last two days: when, which event, and of what."""
        news: list[tuple[datetime, str, BackupRecord]] = []
        for backup in backups:
            assert backup.finished_at is not None
            if self._now - backup.finished_at < timedelta(days=2):
                asked = msgspec.structs.replace(backup, state=RunState.REQUESTED, size_bytes=0, error=None, finished_at=None)
                news += [(backup.requested_at, "requested", asked), (backup.finished_at, str(backup.state), backup)]
        return news

    def _schedule(self, service: Painted) -> Schedule:
        if service.unscheduled:
            return Off()
        due = self._now - timedelta(hours=service.hours_ago)
        return Daily(at=f"{due:%H:%M:%S}")


def _summary(backup: BackupRecord) -> RunSummary:
    took = backup.finished_at - backup.started_at if backup.finished_at and backup.started_at else None
    return RunSummary(
        id=backup.id,
        state=backup.state,
        requested_at=backup.requested_at,
        finished_at=backup.finished_at,
        trigger=backup.trigger,
        node=backup.node,
        size_bytes=backup.size_bytes,
        elapsed_s=took.total_seconds() if took else None,
        error=backup.error,
    )


def _size_of(service: Painted, day: int) -> int:
    """A database that grows, by less on some days than on others; what shrank is a tenth of what it was."""
    if service.shrunk and day == 0:
        return service.size // 10
    return max(MB, int(service.size * (1 - day * 0.006 - (_jitter(service.ref, day) % 100) / 6000)))


def _jitter(name: str, day: int) -> int:
    """The same for everybody who looks."""
    return int.from_bytes(hashlib.sha256(f"{name}/{day}".encode()).digest()[:4], "big")
