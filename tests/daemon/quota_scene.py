"""What the tests of quotas need: a node whose agent says nothing by itself, and what the account has to say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from contracts import control
from contracts.asks import Grant, MoreParts
from contracts.errors import ErrorInfo
from contracts.object_keys import service_prefix
from contracts.policy.quota_plan import QuotaPlan
from contracts.policy.retention_policy import Minimums, RetentionPolicy
from contracts.records import BackupRecord, ProjectRecord, RunKind, RunRef, RunState
from contracts.reports import RunFailedReport
from contracts.wire import utc_now
from tests.daemon.scene import Scene, at
from tests.daemon.speaking import SpeakingAgent
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

START = at("2026-03-02 00:00")
MB = 1_000_000
"""The smallest quota there is."""
NO_MINIMUMS = Minimums(daily=0, weekly=0, monthly=0)
NO_LIMITS = RetentionPolicy(minimums=NO_MINIMUMS, total_count=None, suspicious_size_factor=0)
"""Nothing of it expires by itself, and it insists on nothing."""


@asynccontextmanager
async def speaking(made: Scene, nats_server: NatsServer, *services: str) -> AsyncIterator[SpeakingAgent]:
    """A node of their own for new services, by default `books`, whose agent says nothing by itself."""
    async with nats_server.connect_node("node-2") as client:
        agent = SpeakingAgent(client, "node-2")
        await made.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        for service in services or ("books",):
            await made.add_service(service, nodes=["node-2"], retention=NO_LIMITS)
        await beat(made, agent)
        yield agent


async def beat(made: Scene, agent: SpeakingAgent, *running: str) -> None:
    """Returns when the coordinator has heard that the agent is alive and works on these runs."""
    await agent.beat([RunRef(run_id=run_id, attempt=1) for run_id in running])

    async def heard() -> bool:
        nodes = (await made.operator.call(control.NODE_LIST, control.Nothing())).nodes
        told = [view.alive for view in nodes if view.record.name == agent.node]
        return any(alive is not None and [ref.run_id for ref in alive.running] == list(running) for alive in told)

    await eventually(heard)


async def complete(made: Scene, agent: SpeakingAgent, size_bytes: int, service: str = "books") -> BackupRecord:
    """A backup whose artifact has so many bytes, one part of them."""
    run = await made.request(service)
    await agent.claim(run)
    await agent.report(agent.finished(run, await agent.upload(run, bytes(size_bytes))))
    await made.idle(service)
    return await made.record(run)


async def more(agent: SpeakingAgent, run: BackupRecord, first: int, count: int = 1) -> Grant:
    answer = await agent.ask(run, MoreParts(run_id=run.id, attempt=1, index=1, first=first, count=count))
    assert isinstance(answer, Grant)
    return answer


async def give_up(made: Scene, agent: SpeakingAgent, run: BackupRecord, error: ErrorInfo) -> BackupRecord:
    """The agent reports a failure; the record that it leads to."""
    report = RunFailedReport(
        run=RunKind.BACKUP,
        project="acme",
        service=run.service,
        run_id=run.id,
        attempt=1,
        failed_at=utc_now(),
        error=error,
    )
    await agent.report(report)
    await made.idle(run.service)
    return await made.record(run)


async def set_quota(made: Scene, quota_bytes: int) -> ProjectRecord:
    call = control.ProjectSetQuota(project="acme", plan=QuotaPlan.CUSTOM, quota_bytes=quota_bytes, actor="ada")
    return await made.operator.call(control.PROJECT_SET_QUOTA, call)


async def protect(made: Scene, backup: BackupRecord, *, off: bool = False) -> None:
    call = control.BackupProtect(project="acme", service=backup.service, id=backup.id, protect=not off)
    await made.operator.call(control.BACKUP_PROTECT, call)


async def account(made: Scene) -> tuple[int, int]:
    """Bytes that are stored, and that are held for runs under way."""
    usage = await made.usage(check=False)
    return usage.stored_bytes, usage.reserved_bytes


async def ids(made: Scene, service: str = "orders") -> list[str]:
    """Of all records, oldest first."""
    return [backup.id for backup in await made.backups(service)]


async def check_exact(made: Scene, bucket: Bucket) -> None:
    """The account, the check and the objects in the bucket, counted one by one, say the same."""
    usage = await made.usage()
    assert usage.check is not None
    assert usage.check.differences == []
    assert usage.check.is_exact
    assert (usage.reserved_bytes, usage.check.under_way_bytes) == (0, 0)
    sizes = {name: len(bucket.read(name)) for name in bucket.list_keys()}
    assert usage.stored_bytes == usage.check.found_bytes == sum(sizes.values())
    assert usage.check.objects == len(sizes)
    for each in usage.services:
        prefix = service_prefix("acme", each.service)
        assert each.size_bytes == sum(size for name, size in sizes.items() if name.startswith(prefix))


def refused() -> ErrorInfo:
    return ErrorInfo(code="quota.exceeded", message="the project's quota has no room for the dump")


def dump_failed() -> ErrorInfo:
    return ErrorInfo(code="dump.failed", message="the disk under the database is broken")


def code_of(record: BackupRecord) -> tuple[RunState, str]:
    return record.state, record.error.code if record.error is not None else ""
