"""A service on the stage, with a robot for its agent, or with a real one beside a real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Locator, Page

from contracts import control
from contracts.policy.retention_policy import RetentionPolicy
from contracts.policy.schedule import Off, Schedule
from contracts.records import BackupRecord, RunKind, RunState
from contracts.reports import LogLine, Progress
from contracts.services import PostgreSQLOptions
from contracts.subjects import agent_log_subject, agent_progress_subject
from contracts.wire import encode, utc_now
from tests.daemon.robots import RobotAgent, robot
from tests.e2e.stage import Stage
from tests.integration.platform import Platform
from tests.servers.postgres import PostgresCluster
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

HOME = "/projects/acme/services/orders"
OFF = Off()
DEFAULT = RetentionPolicy()


async def add_orders(stage: Stage, *, schedule: Schedule | None = OFF, retention: RetentionPolicy = DEFAULT) -> None:
    """The service `acme/orders` on node-1."""
    add = control.ServiceAdd(
        project="acme",
        name="orders",
        options=PostgreSQLOptions(),
        nodes=["node-1"],
        schedule=schedule,
        retention=retention,
    )
    await stage.operator.call(control.SERVICE_ADD, add)


@asynccontextmanager
async def robot_service(
    stage: Stage, *, schedule: Schedule | None = OFF, retention: RetentionPolicy = DEFAULT
) -> AsyncIterator[RobotAgent]:
    """`acme/orders`, backed up by a robot that is known to be alive."""
    await stage.project()
    await stage.nodes("node-1")
    async with robot(stage.nats_server, "node-1", "acme/orders") as agent:
        await add_orders(stage, schedule=schedule, retention=retention)
        await _reached(stage)
        yield agent


@asynccontextmanager
async def real_service(
    stage: Stage, directory: Path, bucket: Bucket, cluster: PostgresCluster, *, recovery_recipients: list[str] | None = None
) -> AsyncIterator[Platform]:
    """`acme/orders` on a real PostgreSQL, with a real agent in a process of its own."""
    home = directory / "platform"
    home.mkdir()
    platform = Platform(home, stage.nats_server, bucket, cluster)
    platform.write_service()
    create = control.ProjectCreate(name="acme", recovery_recipients=recovery_recipients or [])
    await stage.operator.call(control.PROJECT_CREATE, create)
    await stage.nodes("node-1")
    await add_orders(stage)
    platform.start_agent()
    try:
        await _reached(stage)
        yield platform
    finally:
        platform.stop()


async def back_up(stage: Stage, *tags: str) -> BackupRecord:
    """A completed backup."""
    create = control.BackupCreate(project="acme", service="orders", tags=list(tags))

    async def asked() -> BackupRecord | None:
        view = await stage.operator.call(control.SERVICE_SHOW, control.ServiceRef(project="acme", service="orders"))
        if view.active:
            return None
        made: BackupRecord = await stage.operator.call(control.BACKUP_CREATE, create)
        return made

    record = await eventually(asked)
    return await ended(stage, record.id)


async def ended(stage: Stage, backup_id: str) -> BackupRecord:
    """The record once the backup is completed."""
    reference = control.RunRefRequest(project="acme", service="orders", id=backup_id)

    async def has_ended() -> BackupRecord | None:
        record = await stage.operator.call(control.BACKUP_RECORD, reference)
        return None if record.state.is_active else record

    record = await eventually(has_ended, 60)
    assert record.state is RunState.COMPLETED, record.error
    return record


async def newest(stage: Stage) -> BackupRecord:
    """Whatever its state."""
    listing = control.BackupList(project="acme", service="orders", limit=1)

    async def found() -> BackupRecord | None:
        backups = (await stage.operator.call(control.BACKUP_LIST, listing)).backups
        return backups[0] if backups else None

    return await eventually(found)


def told(page: Page, text: str) -> Locator:
    """The message that the page shows of what was done before."""
    return page.locator("#toasts").get_by_text(text)


async def tell_progress(agent: RobotAgent, backup: BackupRecord, plain_bytes: int, estimate_bytes: int) -> None:
    """As an agent does once a second."""
    progress = Progress(
        run=RunKind.BACKUP,
        project=backup.project,
        service=backup.service,
        run_id=backup.id,
        attempt=1,
        phase="dumping",
        artifact="orders",
        artifact_index=1,
        artifact_count=1,
        plain_bytes=plain_bytes,
        stored_bytes=plain_bytes // 4,
        estimate_bytes=estimate_bytes,
        elapsed_s=1.0,
    )
    await agent.client.publish(agent_progress_subject(agent.node), encode(progress))


async def tell_log(agent: RobotAgent, backup: BackupRecord, event: str, **fields: object) -> None:
    line = LogLine(
        run=RunKind.BACKUP,
        project=backup.project,
        service=backup.service,
        run_id=backup.id,
        attempt=1,
        at=utc_now(),
        level="info",
        event=event,
        fields=dict(fields),
    )
    await agent.client.publish(agent_log_subject(agent.node), encode(line))


async def _reached(stage: Stage) -> None:
    """Waits until the node tells that it reaches the engine."""

    async def is_reached() -> bool:
        for view in (await stage.operator.call(control.NODE_LIST, control.Nothing())).nodes:
            if view.record.name == "node-1" and view.alive is not None:
                health = view.alive.services.get("acme/orders")
                return health is not None and health.reachable
        return False

    await eventually(is_reached, 30)
