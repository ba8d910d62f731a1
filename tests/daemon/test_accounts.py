"""A project's account is exact: what ends gives back what it held, and a check against the bucket finds what is not so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import control
from contracts.asks import Closed
from contracts.errors import StrongroomError, Unavailable
from contracts.object_keys import backup_prefix
from contracts.policy.retention_policy import RetentionPolicy
from contracts.policy.schedule import Daily
from contracts.records import BackupRecord, ProjectRecord, Reservation, RunState, Trigger, UploadRecord, UsageRecord
from contracts.services import PostgreSQLOptions
from daemon.catalog.buckets import RecordBucket
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.quotas import Quotas
from daemon.reaper import ReaperSettings
from daemon.settings import CoordinatorSettings
from daemon.usage import UsageReport
from tests.daemon.inside import catalog_of, parts_of
from tests.daemon.quota_scene import (
    MB,
    NO_MINIMUMS,
    START,
    account,
    beat,
    check_exact,
    code_of,
    complete,
    dump_failed,
    give_up,
    speaking,
)
from tests.daemon.running import coordinator_settings
from tests.daemon.scene import at, scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually


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
