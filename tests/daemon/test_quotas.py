"""Quotas at work: no run and no crowd of runs gets past one, what ends gives back what it held, and the account is exact."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import control
from contracts.asks import AbortArtifact, Aborted, Closed, Grant, MoreParts
from contracts.errors import Conflict, ErrorInfo, InvalidInput, StrongroomError, Unavailable
from contracts.multipart import DEFAULT_PART_BYTES as PART
from contracts.object_keys import backup_prefix, service_prefix
from contracts.policy.quota_plan import MOST_QUOTA_BYTES, QuotaPlan
from contracts.policy.retention_policy import Minimums, RetentionPolicy
from contracts.policy.schedule import Daily
from contracts.records import (
    BackupRecord,
    DueState,
    ProjectRecord,
    Reservation,
    RunKind,
    RunRef,
    RunState,
    Trigger,
    UploadRecord,
    UsageRecord,
)
from contracts.reports import RunFailedReport
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from daemon.catalog.buckets import RecordBucket
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.quotas import Quotas
from daemon.reaper import ReaperSettings
from daemon.settings import CoordinatorSettings
from daemon.usage import UsageReport
from tests.daemon.inside import catalog_of, parts_of, usage_writes
from tests.daemon.running import Operator, coordinator_settings
from tests.daemon.scene import Scene, at, scene
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


def remove(bucket: Bucket, name: str) -> None:
    bucket.server.blocking_client.delete_object(Bucket=bucket.name, Key=name)


async def revision(catalog: Catalog) -> int:
    """How often usage records were written."""
    js = catalog.usage._js
    return (await js.stream_info(f"KV_{catalog.usage.name}")).state.last_seq


def run_of(project: str, number: int) -> BackupRecord:
    return BackupRecord(
        id=f"20260302T000000Z-{''.join('abcdefghij'[int(digit)] for digit in f'{number:04}')}",
        project=project,
        service="orders",
        kind="postgresql",
        state=RunState.REQUESTED,
        trigger=Trigger.MANUAL,
        requested_at=START,
        node="node-1",
        placement="the only node of the service",
        options=PostgreSQLOptions(),
        recipients=[],
        key_id="",
        size_bytes=number,
    )


def refused() -> ErrorInfo:
    return ErrorInfo(code="quota.exceeded", message="the project's quota has no room for the dump")


def dump_failed() -> ErrorInfo:
    return ErrorInfo(code="dump.failed", message="the disk under the database is broken")


def code_of(record: BackupRecord) -> tuple[RunState, str]:
    return record.state, record.error.code if record.error is not None else ""


async def test_a_project_has_the_bytes_of_its_plan(operator: Operator) -> None:
    async def create(name: str, **fields: Any) -> ProjectRecord:
        call = msgspec.convert({"name": name, **fields}, control.ProjectCreate)
        return await operator.call(control.PROJECT_CREATE, call)

    async def change(plan: QuotaPlan, quota_bytes: int | None = None) -> ProjectRecord:
        call = control.ProjectSetQuota(project="small", plan=plan, quota_bytes=quota_bytes)
        return await operator.call(control.PROJECT_SET_QUOTA, call)

    assert (await create("small", plan="lightweight")).quota_bytes == 5_000_000_000
    assert (await create("large", plan="serious")).quota_bytes == 25_000_000_000
    assert (await create("any")).quota_bytes == MOST_QUOTA_BYTES == 1024**4
    assert (await create("own", quota_bytes=7_000_000)).quota_bytes == 7_000_000

    for plan, quota_bytes, field in (
        (QuotaPlan.CUSTOM, 1024**4 + 1, "quota_bytes"),
        (QuotaPlan.CUSTOM, 999_999, "quota_bytes"),
        (QuotaPlan.SERIOUS, 7_000_000, "plan"),
    ):
        with pytest.raises(InvalidInput) as caught:
            await change(plan, quota_bytes)
        assert caught.value.field == field
    usage = await operator.call(control.PROJECT_USAGE, control.ProjectUsage(project="small"))
    assert (usage.plan, usage.quota_bytes, usage.stored_bytes) == (QuotaPlan.LIGHTWEIGHT, 5_000_000_000, 0)
    changed = await change(QuotaPlan.SERIOUS)
    assert (changed.plan, changed.quota_bytes) == (QuotaPlan.SERIOUS, 25_000_000_000)


async def test_a_run_holds_the_size_of_the_last_before_it_starts_and_is_refused_where_that_does_not_fit(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with (
        scene(settings, nats_server, start=START, quota_bytes=MB) as made,
        speaking(made, nats_server) as agent,
    ):
        last = await complete(made, agent, 300_000)
        assert await account(made) == (last.size_bytes, 0)
        assert last.size_bytes > 300_000
        run = await made.request("books")
        assert await account(made) == (last.size_bytes, last.size_bytes)

        await made.add_service(schedule=Daily(at="00:30"), retention=NO_LIMITS)
        await made.alive()
        made.robot.data = lambda _: bytes(200_000)
        keeper = await made.make(tags=["protected"])
        requested = len(await made.events("backup.requested"))
        with pytest.raises(Conflict, match=f"expected to take {keeper.size_bytes:,} bytes.*set-quota acme") as caught:
            await made.request()
        assert (caught.value.code, caught.value.field) == ("quota.exceeded", "quota_bytes")
        # Nothing is left of it: no record, no place, nothing held.
        assert await ids(made) == [keeper.id]
        reference = control.ServiceRef(project="acme", service="orders")
        assert (await made.operator.call(control.SERVICE_SHOW, reference)).active == ""
        assert await account(made) == (last.size_bytes + keeper.size_bytes, last.size_bytes)

        # One that is due cannot be told so: its record says it, and its entry in the ledger.
        entry = await made.passes(at("2026-03-02 00:30"))
        assert entry.state is DueState.FAILED
        failed = (await made.backups())[-1]
        assert (failed.id, code_of(failed)) == (entry.run_id, (RunState.FAILED, "quota.exceeded"))
        assert entry.reason == (failed.error.message if failed.error else None)
        assert [event.backup_id for event in await made.events("backup.failed")] == [failed.id]
        assert len(await made.events("backup.requested")) == requested
        assert [request.run_id for request in made.robot.taken] == [keeper.id]

        # The room that the other run held is free again once that is cancelled.
        cancel = control.RunRefRequest(project="acme", service="books", id=run.id)
        await made.operator.call(control.BACKUP_CANCEL, cancel)
        assert (await made.make()).state is RunState.COMPLETED
        await check_exact(made, bucket)


async def test_runs_of_several_services_cannot_pass_the_quota_together(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    """Nor through two coordinators: there is room for three of them, and three get it."""
    names = [f"s{number}" for number in range(6)]
    async with (
        scene(settings, nats_server, start=START, quota_bytes=MB, coordinators=2) as made,
        speaking(made, nats_server, *names) as agent,
        usage_writes(nats_server) as written,
    ):
        last = {name: (await complete(made, agent, 100_000, name)).size_bytes for name in names}
        requests = (made.request(name) for name in names for _ in range(2))
        answers = await asyncio.gather(*requests, return_exceptions=True)
        accepted = [answer for answer in answers if isinstance(answer, BackupRecord)]
        # Of two requests for one service only one can have the place; the other is turned away for that.
        codes = {answer.code for answer in answers if isinstance(answer, StrongroomError)}
        assert len(accepted) == 3
        assert codes <= {"quota.exceeded", "run.overlap"}
        assert "quota.exceeded" in codes
        assert await account(made) == (sum(last.values()), sum(last[run.service] for run in accepted))
        for run in accepted:
            await agent.claim(run)
            await agent.report(agent.finished(run, await agent.upload(run, bytes(100_000))))
            await made.idle(run.service)
            assert (await made.record(run)).state is RunState.COMPLETED
        await check_exact(made, bucket)
    assert len(written) > 9
    assert max(usage.stored_bytes + usage.reserved_bytes for usage in written) <= MB


async def test_runs_that_nobody_can_estimate_are_held_to_the_quota_while_they_stream(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    names = [f"s{number}" for number in range(6)]
    async with (
        scene(settings, nats_server, start=START, quota_bytes=MB) as made,
        usage_writes(nats_server) as written,
    ):
        for name in names:
            await made.add_service(name, retention=NO_LIMITS)
        await made.alive()
        made.robot.data = lambda _: bytes(400_000)
        runs = await asyncio.gather(*(made.make(name) for name in names))
        # Two fit at most; how many get through depends on who holds the rest when a manifest is to be written.
        assert len([run for run in runs if code_of(run) == (RunState.FAILED, "quota.exceeded")]) >= 4
        assert {run.state for run in runs} <= {RunState.COMPLETED, RunState.FAILED}
        await check_exact(made, bucket)
        assert bucket.list_uploads() == []
    assert len(written) > len(names)
    assert max(usage.stored_bytes + usage.reserved_bytes for usage in written) <= MB


async def test_a_run_that_streams_is_stopped_at_the_quota_and_leaves_nothing(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with (
        scene(settings, nats_server, start=START, quota_bytes=20 * MB) as made,
        speaking(made, nats_server) as agent,
    ):
        run = await made.request("books")
        await agent.claim(run)
        first = await agent.open(run)
        # With so little room in all, no more than is needed now.
        assert ([part.number for part in first.parts], first.limit_bytes) == ([1], None)
        assert await account(made) == (0, PART)
        await agent.put(first, bytes(PART), 1)
        assert [part.number for part in (await more(agent, run, 2, 8)).parts] == [2]
        # Of the third part as much as the limit says, and of the fourth nothing.
        third = await more(agent, run, 3, 8)
        assert ([part.number for part in third.parts], third.limit_bytes) == ([3], 20 * MB)
        assert await account(made) == (0, 20 * MB)
        assert (await more(agent, run, 1, 2)).limit_bytes is None  # a signature that expired
        with pytest.raises(Conflict, match="would take") as caught:
            await more(agent, run, 4)
        assert caught.value.code == "quota.exceeded"
        assert len(bucket.list_uploads()) == 1

        # Another artifact of the run has nothing left, until the first is given up.
        with pytest.raises(Conflict) as caught:
            await agent.open(run, index=2, name="second")
        assert caught.value.code == "quota.exceeded"
        assert isinstance(await agent.ask(run, AbortArtifact(run_id=run.id, attempt=1, index=1)), Aborted)
        assert await account(made) == (0, 0)
        assert [part.number for part in (await agent.open(run, index=2, name="second")).parts] == [1]

        failed = await give_up(made, agent, run, caught.value.info)
        assert code_of(failed) == (RunState.FAILED, "quota.exceeded")
        assert (bucket.list_uploads(), bucket.list_keys()) == ([], [])
        assert await account(made) == (0, 0)


async def test_a_run_that_holds_nothing_any_more_gets_an_answer_when_it_asks_for_parts(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with (
        scene(settings, nats_server, start=START) as made,
        speaking(made, nats_server) as agent,
        parts_of(settings, nats_server) as (runs, _, _retention),
    ):
        run = await made.request("books")
        await agent.claim(run)
        await agent.open(run)
        # As whoever cancels the run does, between the look at its record and the grant.
        await runs.quotas.drop("acme", "books", run.id)
        for count in (1, 8):
            with pytest.raises(Conflict) as caught:
                await more(agent, run, 2, count)
            assert caught.value.code == "quota.exceeded"
        await made.operator.call(control.BACKUP_CANCEL, control.RunRefRequest(project="acme", service="books", id=run.id))
        with pytest.raises(Conflict) as caught:
            await more(agent, run, 2)
        assert caught.value.code == "run.not_current"
        assert await account(made) == (0, 0)


async def test_no_more_is_closed_than_was_granted_and_no_manifest_is_written_over_the_quota(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with (
        scene(settings, nats_server, start=START, quota_bytes=MB) as made,
        speaking(made, nats_server) as agent,
    ):
        run = await made.request("books")
        await agent.claim(run)
        grant = await agent.open(run)
        assert grant.limit_bytes == MB
        # A signed URL knows no size, so an agent that means no good can send more.
        data = bytes(MB + 1)
        part = await agent.put(grant, data)
        with pytest.raises(Conflict, match=f"would take {MB + 1:,} bytes") as caught:
            await agent.ask(run, agent.closing(run, data, part))
        assert caught.value.code == "quota.exceeded"
        assert bucket.list_keys() == []
        await give_up(made, agent, run, caught.value.info)
        assert (bucket.list_uploads(), bucket.list_keys()) == ([], [])

        # All that the quota allows, and then there is the manifest.
        run = await made.request("books")
        await agent.claim(run)
        artifact = await agent.upload(run, bytes(MB))
        assert await account(made) == (0, MB)
        await agent.report(agent.finished(run, artifact))
        await made.idle("books")
        failed = await made.record(run)
        assert code_of(failed) == (RunState.FAILED, "quota.exceeded")
        assert failed.error is not None
        assert "manifest" in failed.error.message
        assert bucket.list_keys() == []
        assert await account(made) == (0, 0)


@pytest.mark.parametrize("lost", ["the answer of the account", "the record of the upload"])
async def test_an_artifact_whose_close_was_cut_off_is_counted_once_when_it_is_closed_again(
    settings: CoordinatorSettings,
    nats_server: NatsServer,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    data = bytes(600_000)
    broken = iter([Unavailable("bus.unavailable", "the server went away")])

    def break_once(real: Callable[..., Any], is_meant: Callable[..., bool]) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            if is_meant(*args) and (failure := next(broken, None)) is not None:
                raise failure
            return await real(*args, **options)

        return call

    def closes_an_upload(_: object, __: str, value: object, *___: object) -> bool:
        return isinstance(value, UploadRecord) and value.closed is not None

    async with (
        scene(settings, nats_server, start=START, quota_bytes=MB) as made,
        speaking(made, nats_server) as agent,
    ):
        run = await made.request("books")
        await agent.claim(run)
        part = await agent.put(await agent.open(run), data)
        if lost == "the record of the upload":
            monkeypatch.setattr(RecordBucket, "update", break_once(RecordBucket.update, closes_an_upload))
        else:
            monkeypatch.setattr(Quotas, "close", break_once(Quotas.close, lambda *_: True))
        with pytest.raises(Unavailable):
            await agent.ask(run, agent.closing(run, data, part))
        closed = await agent.ask(run, agent.closing(run, data, part))
        assert isinstance(closed, Closed)
        assert await account(made) == (0, 600_000)
        await agent.report(agent.finished(run, closed.artifact))
        await made.idle("books")
        assert (await made.record(run)).state is RunState.COMPLETED
        await check_exact(made, bucket)


async def test_before_a_run_is_refused_retention_makes_room_with_what_nothing_insists_on(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    minimums = Minimums(daily=2, weekly=0, monthly=0)
    policy = RetentionPolicy(minimums=minimums, total_count=None, suspicious_size_factor=0)
    async with scene(settings, nats_server, start=START, quota_bytes=MB) as made:
        await made.add_service(schedule=Daily(at="00:30"), retention=policy)
        made.robot.data = lambda _: bytes(230_000)

        async def due(day: int) -> list[int]:
            """The days whose backups there are when that of this day has ended."""
            entry = await made.passes(at(f"2026-03-{day:02} 00:30"))
            assert entry.state is (DueState.FAILED if day == 8 else DueState.COMPLETED)
            return [backup.due_at.day for backup in await made.completed() if backup.due_at is not None]

        # The quota has room for four.
        assert [await due(day) for day in (2, 3, 4, 5, 6)][-2:] == [[2, 3, 4, 5], [3, 4, 5, 6]]
        (gone,) = await made.events("backup.deleted")
        assert gone.reason == "room for a backup of orders in the project's quota, and no policy insists on it"
        assert gone.actor == "retention"
        await protect(made, (await made.completed())[0])
        assert await due(7) == [3, 5, 6, 7]
        await protect(made, (await made.completed())[1])
        # Two are protected, and two are the minimum.
        assert await due(8) == [3, 5, 6, 7]
        assert code_of((await made.backups())[-1]) == (RunState.FAILED, "quota.exceeded")
        assert len(await made.events("backup.deleted")) == 2
        await check_exact(made, bucket)


async def test_room_is_made_by_the_service_that_needs_it_first_and_never_of_anybodys_newest(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START, quota_bytes=MB) as made:
        for name in ("books", "orders"):
            await made.add_service(name, retention=NO_LIMITS)
        await made.alive()
        made.robot.data = lambda _: bytes(230_000)

        async def later(service: str) -> BackupRecord:
            made.clock.advance(minutes=1)
            return await made.make(service)

        # The quota has room for four.
        first_books, books, first, second = [await later(name) for name in ("books", "books", "orders", "orders")]
        third = await later("orders")
        assert (await ids(made, "books"), await ids(made)) == ([first_books.id, books.id], [second.id, third.id])
        await protect(made, second)
        fourth = await later("orders")
        assert (await ids(made, "books"), await ids(made)) == ([books.id], [second.id, third.id, fourth.id])
        await protect(made, third)
        with pytest.raises(Conflict, match="quota"):
            await made.request()
        assert [event.backup_id for event in await made.events("backup.deleted")] == [first.id, first_books.id]


async def test_room_that_is_there_by_now_is_not_made_again(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    """Three runs that come at once and lack a little each: what goes for the first is enough for all."""
    names = ["a", "b", "c"]
    async with (
        scene(settings, nats_server, start=START, quota_bytes=MB) as made,
        speaking(made, nats_server, *names) as agent,
    ):
        await made.add_service(retention=NO_LIMITS)
        backups = []
        for size_bytes in (400_000, 200_000, 10_000):
            made.robot.data = lambda _, size_bytes=size_bytes: bytes(size_bytes)  # type: ignore[misc]
            made.clock.advance(minutes=1)
            backups.append(await made.make())
        for name in names:
            await complete(made, agent, 100_000, name)
        made.clock.advance(minutes=1)
        runs = await asyncio.gather(*(made.request(name) for name in names))
        assert {run.state for run in runs} == {RunState.REQUESTED}
        assert await ids(made) == [backup.id for backup in backups[1:]]
        assert [event.backup_id for event in await made.events("backup.deleted")] == [backups[0].id]


async def test_runs_that_stream_at_once_leave_room_for_each_other(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    """Agents ask for many parts at a time; those that come first must not hold all there is."""
    names = [f"s{number}" for number in range(25)]
    async with (
        scene(settings, nats_server, start=START, plan="lightweight") as made,
        speaking(made, nats_server, *names) as agent,
        usage_writes(nats_server) as written,
    ):
        runs = [await made.request(name) for name in names]
        signed = []
        for run in runs:
            await agent.claim(run)
            opened = await agent.open(run)
            further = await more(agent, run, len(opened.parts) + 1, 32)
            signed.append(len(opened.parts) + len(further.parts))
        assert signed[0] == 36
        assert min(signed) >= 3
        assert signed == sorted(signed, reverse=True)
    assert max(usage.reserved_bytes for usage in written) < 5_000 * MB


async def test_a_run_that_streams_has_room_made_for_its_next_part(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with (
        scene(settings, nats_server, start=START, quota_bytes=20 * MB) as made,
        speaking(made, nats_server) as agent,
    ):
        await made.add_service(retention=NO_LIMITS)
        made.robot.data = lambda _: bytes(7 * MB)
        older = await made.make()
        made.clock.advance(minutes=1)
        newest = await made.make()
        free = 20 * MB - older.size_bytes - newest.size_bytes

        run = await made.request("books")
        await agent.claim(run)
        grant = await agent.open(run)
        assert ([part.number for part in grant.parts], grant.limit_bytes) == ([1], free)
        # It can go on with that, for all anybody knows; an agent that asks for a single part cannot.
        assert (await more(agent, run, 1, 4)).limit_bytes == free
        assert await ids(made) == [older.id, newest.id]
        assert (await more(agent, run, 1)).limit_bytes is None
        assert await ids(made) == [newest.id]
        # What is left, though it is less than a part: there is nothing more to be made.
        rest = await more(agent, run, 2)
        assert ([part.number for part in rest.parts], rest.limit_bytes) == ([2], 20 * MB - newest.size_bytes)
        with pytest.raises(Conflict, match="quota"):
            await more(agent, run, 3)
        await give_up(made, agent, run, refused())
        assert await ids(made) == [newest.id]
        await check_exact(made, bucket)


async def test_a_quota_below_what_is_stored_deletes_nothing_and_lets_nothing_more_in(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START, quota_bytes=2 * MB) as made:
        await made.add_service(retention=NO_LIMITS)
        made.robot.data = lambda _: bytes(300_000)
        backups = []
        for _ in range(6):
            made.clock.advance(minutes=1)
            backups.append(await made.make(tags=["protected"]))
        changed = await set_quota(made, MB)
        assert (changed.quota_bytes, changed.plan) == (MB, QuotaPlan.CUSTOM)
        (event,) = await made.events("project.changed")
        assert (event.actor, event.facts) == ("ada", {"plan": "custom", "quota_bytes": MB})
        made.clock.advance(minutes=1)
        with pytest.raises(Conflict, match="has 0 of its 1,000,000 bytes left"):
            await made.request()
        # Not even the first of a service, of which nobody knows what it takes.
        await made.add_service("books", retention=NO_LIMITS)
        await made.alive()
        with pytest.raises(Conflict) as caught:
            await made.request("books")
        assert caught.value.code == "quota.exceeded"
        assert await ids(made) == [backup.id for backup in backups]
        assert await made.events("backup.deleting") == []
        await check_exact(made, bucket)

        # Once nothing insists on them, what the quota sends away goes first, and then no more than must.
        for backup in backups:
            await protect(made, backup, off=True)
        new = await made.make()
        assert await ids(made) == [backups[4].id, backups[5].id, new.id]
        gone = await made.events("backup.deleted")
        assert [event.backup_id for event in gone] == [backup.id for backup in backups[:4]]
        assert [(event.reason or "").partition(":")[0] for event in gone] == [
            *["it would pass the total size"] * 3,
            "room for a backup of orders in the project's quota, and no policy insists on it",
        ]
        await check_exact(made, bucket)


async def test_a_run_gives_back_what_it_held_however_it_ends(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    reaper = ReaperSettings(every_s=0.05, start_deadline_s=1.0, lost_after_s=0.5)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with (
        scene(settings, nats_server, start=START, quota_bytes=MB) as made,
        speaking(made, nats_server) as agent,
    ):
        last = await complete(made, agent, 300_000)

        async def under_way() -> BackupRecord:
            run = await made.request("books")
            await agent.claim(run)
            await beat(made, agent, run.id)
            await agent.put(await agent.open(run), bytes(200_000))
            # It was granted parts that have room for all there is.
            assert await account(made) == (last.size_bytes, MB - last.size_bytes)
            return run

        async def ended(run: BackupRecord) -> tuple[RunState, str]:
            await made.idle("books")
            assert await account(made) == (last.size_bytes, 0)
            assert bucket.list_uploads() == []
            return code_of(await made.record(run))

        run = await under_way()
        await give_up(made, agent, run, dump_failed())
        assert await ended(run) == (RunState.FAILED, "dump.failed")

        run = await under_way()
        cancel = control.RunRefRequest(project="acme", service="books", id=run.id)
        await made.operator.call(control.BACKUP_CANCEL, cancel)
        # Its agent has not let go of it yet, and still it holds nothing any more.
        assert await account(made) == (last.size_bytes, 0)
        await beat(made, agent)
        assert await ended(run) == (RunState.CANCELLED, "run.cancelled")

        run = await under_way()
        await beat(made, agent)  # and never names it again
        assert await ended(run) == (RunState.FAILED, "agent.lost")

        run = await made.request("books")
        assert await account(made) == (last.size_bytes, last.size_bytes)
        assert await ended(run) == (RunState.MISSED, "node.unavailable")
        await check_exact(made, bucket)


async def test_the_account_is_exact_after_whatever_happens_and_the_check_finds_whatever_is_not(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START) as made, catalog_of(nats_server) as catalog:
        policy = RetentionPolicy(minimums=NO_MINIMUMS, total_count=3, suspicious_size_factor=0)
        await made.add_service(schedule=Daily(at="00:30"), retention=policy)
        await made.add_service("books")
        await made.alive()
        made.robot.data = lambda request: f"{request.run_id} of {request.service}".encode() * 50
        for day in range(2, 7):
            await made.passes(at(f"2026-03-0{day} 00:30"))
        books = [await made.make("books") for _ in range(3)]
        delete = control.BackupDelete(project="acme", service="books", id=books[0].id)
        await made.operator.call(control.BACKUP_DELETE, delete)
        made.robot.failure = lambda _: dump_failed()
        assert (await made.make("books")).state is RunState.FAILED
        made.robot.failure = lambda _: None
        made.robot.may_finish.clear()
        run = await made.request("books")
        await eventually(lambda: made.robot.taken[-1].run_id == run.id)
        cancel = control.RunRefRequest(project="acme", service="books", id=run.id)
        await made.operator.call(control.BACKUP_CANCEL, cancel)
        made.robot.may_finish.set()
        await made.idle("books")
        usage = await made.usage()
        assert {each.service: each.backups for each in usage.services} == {"orders": 3, "books": 2}
        await check_exact(made, bucket)

        async def differences() -> list[tuple[str, int, int]]:
            check = (await made.usage()).check
            assert check is not None
            assert check.is_exact == (not check.differences)
            return [(each.prefix, each.recorded_bytes, each.found_bytes) for each in check.differences]

        changed, unknown = backup_prefix("acme", "books", books[1].id), backup_prefix("acme", "orders", run.id)
        bucket.write(f"{changed}1/0002-planted", b"12345")
        assert await differences() == [(changed, books[1].size_bytes, books[1].size_bytes + 5)]
        bucket.write(f"{unknown}1/0001-planted", b"123")
        assert await differences() == [(changed, books[1].size_bytes, books[1].size_bytes + 5), (unknown, 0, 3)]
        for name in (f"{changed}1/0002-planted", f"{unknown}1/0001-planted"):
            remove(bucket, name)
        await check_exact(made, bucket)

        manifest = bucket.read(books[1].manifest_key)
        remove(bucket, books[1].manifest_key)
        size = books[1].size_bytes
        assert await differences() == [(changed, size, size - len(manifest))]
        bucket.write(books[1].manifest_key, manifest)

        def one_more(usage: UsageRecord) -> UsageRecord:
            return msgspec.structs.replace(usage, stored_bytes=usage.stored_bytes + 1)

        stored = usage.stored_bytes
        await catalog.usage.change("acme", one_more)
        assert await differences() == [("strongroom/v1/acme/", stored + 1, stored)]


async def test_the_check_takes_nothing_that_is_under_way_for_a_difference(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["orders", "books", "users"]
    policy = RetentionPolicy(minimums=NO_MINIMUMS, total_count=1)
    async with scene(settings, nats_server, start=START) as made:
        for name in names:
            await made.add_service(name, retention=policy)
        await made.alive()
        ready = asyncio.Event()
        found: list[control.UsageCheck] = []

        async def keep_checking() -> None:
            while not ready.is_set():
                check = (await made.usage()).check
                assert check is not None
                found.append(check)

        checking = [asyncio.create_task(keep_checking()) for _ in range(2)]
        for _ in range(4):
            made.clock.advance(minutes=1)
            await asyncio.gather(*(made.make(name) for name in names))
        ready.set()
        await asyncio.gather(*checking)
        assert [difference for check in found for difference in check.differences] == []
        assert any(check.under_way_bytes for check in found)
        await check_exact(made, bucket)

        (newest,) = await made.completed()
        async with parts_of(settings, nats_server) as (runs, deletions, _):
            # Nor a run whose record says already that it has completed, but not yet the account.
            def not_yet_committed(usage: UsageRecord) -> UsageRecord:
                held = {f"orders/{newest.id}": Reservation(estimate_bytes=0, closed_bytes=newest.size_bytes)}
                return msgspec.structs.replace(usage, stored_bytes=usage.stored_bytes - newest.size_bytes, reserved=held)

            await runs.catalog.usage.change("acme", not_yet_committed)
            check = (await made.usage()).check
            assert check is not None
            assert check.differences == []
            await runs.quotas.commit(newest)

            # Nor what was deleted between its look at the account and its look at the records.
            usage, looks = runs.quotas.usage, iter(range(3))

            async def usage_and_then_a_deletion(project: str) -> UsageRecord:
                seen = await usage(project)
                if next(looks) == 1:
                    await deletions.delete("acme", "orders", newest.id, reason="asked for")
                return seen

            monkeypatch.setattr(runs.quotas, "usage", usage_and_then_a_deletion)
            report = await UsageReport(runs.catalog, runs.quotas, runs.store).of("acme", check=True)
            assert report.check is not None
            assert report.check.differences == []
            assert next(looks, None) is None
        await check_exact(made, bucket)


async def test_many_changes_at_once_are_few_writes(nats_server: NatsServer) -> None:
    async with nats_server.connect_coordinator() as client:
        js = client.jetstream(timeout=5)
        await ensure_topology(js, replicas=1)
        catalog = Catalog(client, js)
        await catalog.projects.create("acme", ProjectRecord(name="acme", created_at=START, key_id="", recipients=[]))
        await catalog.projects.create(
            "small", ProjectRecord(name="small", created_at=START, key_id="", recipients=[], quota_bytes=1000)
        )
        quotas = Quotas(catalog)
        runs = [run_of("acme", number) for number in range(300)]
        before = await revision(catalog)
        await asyncio.gather(*(quotas.reserve(run, 10) for run in runs))
        assert (await quotas.usage("acme")).reserved_bytes == 3000
        assert 1 <= await revision(catalog) - before <= 10
        # As many in another coordinator at the same time: each has all its own, and a few more that meet in between.
        other = Quotas(catalog)
        await asyncio.gather(*((quotas if number % 2 else other).commit(run) for number, run in enumerate(runs)))
        usage = await quotas.usage("acme")
        assert (usage.stored_bytes, usage.reserved_bytes) == (sum(run.size_bytes for run in runs), 0)
        assert await revision(catalog) - before <= 20

        # Those that find no room are told so, each for itself, though they were written together.
        crowd = [run_of("small", number) for number in range(150)]
        answers = await asyncio.gather(*(quotas.reserve(run, 10) for run in crowd), return_exceptions=True)
        assert answers.count(None) == 100
        assert {answer.code for answer in answers if isinstance(answer, StrongroomError)} == {"quota.exceeded"}
        assert (await quotas.usage("small")).reserved_bytes == 1000
