"""Retention at work: what expires goes at once, and nothing else ever does."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from contracts import control
from contracts.control import RetentionView, ServiceView
from contracts.errors import Conflict, ErrorInfo
from contracts.events import Event
from contracts.object_keys import backup_prefix
from contracts.policy.freeze import FreezeCause
from contracts.policy.quota_plan import QuotaPlan
from contracts.policy.retention import Decision, Rule
from contracts.policy.retention_policy import Maximums, Minimums, RetentionPolicy
from contracts.policy.schedule import Cron, Daily
from contracts.records import ActiveRun, Activity, BackupRecord, DueState, RunState
from daemon.catalog.buckets import key
from daemon.catalog.catalog import deletion_marker
from daemon.reaper import ReaperSettings
from daemon.settings import CoordinatorSettings
from tests.daemon.inside import catalog_of, parts_of
from tests.daemon.running import coordinator_settings
from tests.daemon.scene import Scene, at, scene
from tests.daemon.speaking import SpeakingAgent
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

START = at("2026-03-02 00:00")
"""A Monday."""
DAILY = Daily(at="00:30")
NO_MINIMUMS = Minimums(daily=0, weekly=0, monthly=0)


def policy(total_count: int | None = 50, **fields: object) -> RetentionPolicy:
    """Insists on nothing but what is protected."""
    return msgspec.convert({"total_count": total_count, "minimums": NO_MINIMUMS, **fields}, RetentionPolicy)


async def make_some(made: Scene, count: int, service: str = "orders") -> list[BackupRecord]:
    """Manual backups, a minute apart, as they were right after they had completed."""
    found = []
    for _ in range(count):
        made.clock.advance(minutes=1)
        found.append(await made.make(service))
    return found


async def kept(made: Scene, service: str = "orders") -> list[str]:
    """Ids of completed backups, oldest first."""
    return [backup.id for backup in await made.completed(service)]


async def days_of(made: Scene) -> list[int]:
    """Of the month: when the completed backups were due."""
    return [backup.due_at.day for backup in await made.completed() if backup.due_at is not None]


async def deletions(made: Scene) -> list[Event]:
    return await made.events("backup.deleting", "backup.deleted")


async def show(made: Scene) -> ServiceView:
    return await made.operator.call(control.SERVICE_SHOW, control.ServiceRef(project="acme", service="orders"))


async def plan(made: Scene) -> RetentionView:
    return await made.operator.call(control.RETENTION_PLAN, control.ServiceRef(project="acme", service="orders"))


async def set_retention(made: Scene, wanted: RetentionPolicy, **fields: bool) -> RetentionView:
    call = control.ServiceSetRetention(project="acme", service="orders", retention=wanted, actor="ada")
    return await made.operator.call(control.SERVICE_SET_RETENTION, msgspec.structs.replace(call, **fields))


def ids(backups: list[BackupRecord]) -> list[str]:
    return [backup.id for backup in backups]


def dump_failed() -> ErrorInfo:
    return ErrorInfo(code="dump.failed", message="the disk under the database is broken")


def objects_of(bucket: Bucket, backup: BackupRecord) -> list[str]:
    return bucket.list_keys(backup_prefix(backup.project, backup.service, backup.id))


async def test_each_completed_backup_sends_away_what_is_beyond_the_limits_and_says_why(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(retention=policy(2))
        first, second = await make_some(made, 2)
        assert await kept(made) == [first.id, second.id]
        assert objects_of(bucket, first)

        (third,) = await make_some(made, 1)
        assert ids(await made.backups()) == [second.id, third.id]
        assert objects_of(bucket, first) == []
        assert len(objects_of(bucket, second)) == len(objects_of(bucket, third)) == 2
        marked, gone = await deletions(made)
        assert (marked.type, gone.type) == ("backup.deleting", "backup.deleted")
        for event in (marked, gone):
            assert (event.backup_id, event.service, event.actor) == (first.id, "orders", "retention")
            assert event.reason == "beyond the total count: 2"
        assert (gone.size_bytes, gone.facts) == (first.size_bytes, {"objects": 2})

        # Another service of the project has limits of its own.
        await made.add_service("books", retention=policy(1))
        await made.alive()
        await make_some(made, 2, "books")
        assert await kept(made) == [second.id, third.id]
        usage = await made.usage()
        assert usage.check is not None
        assert usage.check.is_exact


async def test_the_maximum_of_each_class_is_kept_exactly(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    maximums = Maximums(daily=2, weekly=1, monthly=1)
    schedule = Cron(expression="30 0 5-10,16 3 *")
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(schedule=schedule, retention=policy(None, maximums=maximums))
        seen = {}
        for day in (5, 6, 7, 8, 9, 10, 16):
            await made.passes(at(f"2026-03-{day:02} 00:30"))
            seen[day] = await days_of(made)
        # The 5th is the month's; the 9th and the 16th are Mondays, and so their weeks'.
        assert seen[7] == [5, 6, 7]
        assert seen[8] == [5, 7, 8]
        assert seen[9] == [5, 7, 8, 9]
        assert seen[10] == [5, 8, 9, 10]
        assert seen[16] == [5, 8, 10, 16]
        daily, weekly = (f"beyond the maximum of {each}" for each in ("daily backups: 2", "weekly backups: 1"))
        assert [event.reason for event in await made.events("backup.deleted")] == [daily, daily, weekly]


async def test_minimums_hold_what_the_limits_would_send_away(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    minimums = Minimums(daily=2, weekly=0, monthly=1)
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(schedule=DAILY, retention=policy(1, minimums=minimums))
        for day in range(2, 6):
            await made.passes(at(f"2026-03-{day:02} 00:30"))
        assert await days_of(made) == [2, 4, 5]


async def test_a_protected_backup_stays_until_it_is_protected_no_longer(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(retention=policy(2, protected_tags=["gold", "silver"]))
        gold = await made.make(tags=["gold"])
        made.clock.advance(minutes=1)
        plain = await made.make(tags=["protected"])  # of which this policy knows nothing
        (newest,) = await make_some(made, 1)
        assert await kept(made) == [gold.id, newest.id]
        assert (await made.events("backup.deleted"))[0].backup_id == plain.id

        tag = control.BackupTag(project="acme", service="orders", id=newest.id, add=["silver"])
        await made.operator.call(control.BACKUP_TAG, tag)
        # Both count towards the total, so that there is no room for a third: it is that which goes.
        made.clock.advance(minutes=1)
        await made.request()
        await made.idle()
        assert await kept(made) == [gold.id, newest.id]

        release = control.BackupProtect(project="acme", service="orders", id=gold.id, protect=False)
        await made.operator.call(control.BACKUP_PROTECT, release)
        assert await kept(made) == [gold.id, newest.id]
        (last,) = await make_some(made, 1)
        assert await kept(made) == [newest.id, last.id]


async def test_after_a_failed_due_run_nothing_goes_until_the_next_good_one(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(schedule=DAILY, retention=policy(2))
        for day in (2, 3):
            await made.passes(at(f"2026-03-0{day} 00:30"))
        made.robot.failure = lambda _: dump_failed()
        failed = await made.passes(at("2026-03-04 00:30"))
        assert failed.state is DueState.FAILED
        made.robot.failure = lambda _: None

        frozen = (await show(made)).freeze
        assert frozen is not None
        assert (frozen.cause, frozen.run_id) == (FreezeCause.RUN_FAILED, failed.run_id)
        # That somebody's own backups work does not show that the schedule does.
        manual = await make_some(made, 3)
        assert len(await kept(made)) == 5
        assert await deletions(made) == []
        verdicts = (await plan(made)).verdicts
        assert {verdict.rule for verdict in verdicts} == {Rule.FROZEN, Rule.WITHIN_LIMITS, Rule.NOT_COMPLETED}
        assert {verdict.decision for verdict in verdicts} == {Decision.KEEP, Decision.UNTOUCHED}
        (stated,) = await made.events("retention.frozen")
        assert (stated.backup_id, stated.reason) == (failed.run_id, frozen.reason)
        assert await made.events("retention.resumed") == []

        before = await kept(made)
        good = await made.passes(at("2026-03-05 00:30"))
        assert await kept(made) == [manual[-1].id, good.run_id]
        assert [event.backup_id for event in await made.events("backup.deleted")] == before[:-1]
        assert (await show(made)).freeze is None
        assert len(await made.events("retention.frozen")) == len(await made.events("retention.resumed")) == 1


async def test_a_policy_that_deletes_after_the_thaw_is_refused_while_frozen_unless_it_is_confirmed(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(schedule=DAILY, retention=policy(50))
        for day in (2, 3, 4):
            await made.passes(at(f"2026-03-0{day} 00:30"))
        made.robot.failure = lambda _: dump_failed()
        await made.passes(at("2026-03-05 00:30"))
        made.robot.failure = lambda _: None
        before = await kept(made)
        with pytest.raises(Conflict, match="deletes 2 backups of acme/orders as soon as it is not frozen") as caught:
            await set_retention(made, policy(1))
        assert (caught.value.code, caught.value.field) == ("retention.unconfirmed", "confirm")
        assert (await show(made)).record.retention == policy(50)
        assert await made.events("service.changed") == []
        # One that deletes nothing then either needs nobody's consent.
        assert (await set_retention(made, policy(40))).applied
        await made.passes(at("2026-03-06 00:30"))
        assert (await kept(made))[:-1] == before

        made.robot.failure = lambda _: dump_failed()
        await made.passes(at("2026-03-07 00:30"))
        made.robot.failure = lambda _: None
        assert (await set_retention(made, policy(1), confirm=True)).applied
        assert (await kept(made))[:-1] == before
        good = await made.passes(at("2026-03-08 00:30"))
        assert await kept(made) == [good.run_id]


async def test_a_newest_backup_that_is_suspiciously_small_freezes_until_one_of_the_usual_size(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(retention=policy(2))
        made.robot.data = lambda _: bytes(20_000)
        usual = await make_some(made, 2)
        made.robot.data = lambda _: bytes(100)
        small = await make_some(made, 2)
        assert await kept(made) == ids([*usual, *small])
        frozen = (await show(made)).freeze
        assert frozen is not None
        assert (frozen.cause, frozen.run_id) == (FreezeCause.SUSPICIOUS_SIZE, small[-1].id)
        assert [event.backup_id for event in await made.events("retention.frozen")] == ids(small)

        made.robot.data = lambda _: bytes(20_000)
        (good,) = await make_some(made, 1)
        assert await kept(made) == [small[-1].id, good.id]
        (resumed,) = await made.events("retention.resumed")
        assert resumed.reason == "the newest backups look healthy again"

        # Whoever expects such sizes says so, and then it is no reason any more.
        made.robot.data = lambda _: bytes(100)
        (small_again,) = await make_some(made, 1)
        assert len(await kept(made)) == 3
        view = await set_retention(made, policy(2, suspicious_size_factor=0), confirm=True)
        assert view.freeze is None
        assert await kept(made) == [good.id, small_again.id]
        assert (await show(made)).freeze is None
        assert len(await made.events("retention.resumed")) == 2


async def test_a_change_of_policy_shows_first_what_it_deletes_and_then_needs_a_yes(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service()
        backups = await make_some(made, 5)
        wanted = policy(2)

        view = await set_retention(made, wanted, dry_run=True)
        assert [verdict.id for verdict in view.expired] == ids(backups[:3])
        assert (view.policy, view.applied) == (wanted, False)
        with pytest.raises(Conflict, match="deletes 3 backups") as caught:
            await set_retention(made, wanted)
        assert (caught.value.code, caught.value.field) == ("retention.unconfirmed", "confirm")
        assert (await show(made)).record.retention == RetentionPolicy()
        assert await kept(made) == ids(backups)
        assert await made.events("service.changed", "backup.deleting") == []

        view = await set_retention(made, wanted, confirm=True)
        assert [verdict.id for verdict in view.expired] == ids(backups[:3])
        assert view.applied
        assert (await show(made)).record.retention == wanted
        assert await kept(made) == ids(backups[3:])
        gone = await made.events("backup.deleted")
        assert [event.backup_id for event in gone] == ids(backups[:3])
        assert {event.reason for event in gone} == {"beyond the total count: 2"}
        (changed,) = await made.events("service.changed")
        assert (changed.actor, changed.facts) == ("ada", {"changed": "retention"})

        # What deletes nothing needs no yes; and it is in force from the next backup on.
        assert (await set_retention(made, policy(3))).applied
        newer = await make_some(made, 2)
        assert await kept(made) == ids([backups[-1], *newer])


async def test_every_backup_can_be_asked_why_it_is_there(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    minimums = Minimums(daily=1, weekly=0, monthly=1)
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(schedule=DAILY, retention=policy(4, minimums=minimums))
        month = await made.passes(at("2026-03-02 00:30"))
        manual, protected = await make_some(made, 1), await made.make(tags=["protected"])
        made.robot.failure = lambda _: dump_failed()
        (failed,) = await make_some(made, 1)
        made.robot.failure = lambda _: None
        day = await made.passes(at("2026-03-03 00:30"))

        view = await plan(made)
        assert not view.applied
        assert [verdict.at for verdict in view.verdicts] == sorted((v.at for v in view.verdicts), reverse=True)
        reasons = {verdict.id: (verdict.backup_class, verdict.decision, verdict.reason) for verdict in view.verdicts}
        held = "one of the newest {} backups, of which the minimum keeps 1"
        assert reasons == {
            month.run_id: ("monthly", "keep", held.format("monthly")),
            manual[0].id: ("none", "keep", "within all limits"),
            protected.id: ("protected", "keep", "it bears the protected tag 'protected'"),
            failed.id: ("none", "untouched", "failed: only completed backups are counted"),
            day.run_id: ("daily", "keep", held.format("daily")),
        }


async def test_the_total_size_of_a_service_ends_at_the_quota_of_its_project(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START, quota_bytes=10_000_000) as made:
        await made.add_service(retention=policy(None, total_size_bytes=None))
        made.robot.data = lambda _: bytes(400_000)
        backups = await make_some(made, 3)
        lower = control.ProjectSetQuota(project="acme", plan=QuotaPlan.CUSTOM, quota_bytes=1_000_000)
        await made.operator.call(control.PROJECT_SET_QUOTA, lower)
        verdicts = {verdict.id: verdict for verdict in (await plan(made)).verdicts}
        assert [verdicts[backup.id].rule for backup in backups] == ["total_size", "within_limits", "within_limits"]
        assert verdicts[backups[0].id].reason == "it would pass the total size: 1000000 bytes"
        assert await kept(made) == ids(backups)


async def test_a_backup_that_a_restore_reads_is_left_until_the_restore_has_ended(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made, nats_server.connect_node("node-2") as client:
        await made.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        await made.add_service(retention=policy(2), nodes=["node-1", "node-2"])
        first, second = await make_some(made, 2)
        reader = SpeakingAgent(client, "node-2")  # takes no request up by itself

        async def shown() -> bool:
            await reader.beat()
            nodes = (await made.operator.call(control.NODE_LIST, control.Nothing())).nodes
            return any(view.record.name == "node-2" and view.alive is not None for view in nodes)

        await eventually(shown)
        call = control.RestoreCreate(project="acme", service="orders", id=first.id, node="node-2")
        restore = await made.operator.call(control.RESTORE_CREATE, call)

        (third,) = await make_some(made, 1)
        assert await kept(made) == [first.id, second.id, third.id]
        (fourth,) = await make_some(made, 1)
        assert await kept(made) == [first.id, third.id, fourth.id]

        reference = control.RunRefRequest(project="acme", service="orders", id=restore.id)
        await made.operator.call(control.RESTORE_CANCEL, reference)
        (fifth,) = await make_some(made, 1)
        assert await kept(made) == [fourth.id, fifth.id]


async def test_two_coordinators_delete_each_backup_once_and_never_one_more(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START, coordinators=2) as made:
        await made.add_service(retention=policy(6))
        backups = await make_some(made, 7)
        assert await kept(made) == ids(backups[1:])

        # Both apply it at once; whoever changed the record second is told so.
        changes = (set_retention(made, policy(2), confirm=True) for _ in range(4))
        answers = await asyncio.gather(*changes, return_exceptions=True)
        assert any(isinstance(answer, RetentionView) for answer in answers)
        assert all(isinstance(a, RetentionView) or (isinstance(a, Conflict) and a.code == "record.changed") for a in answers)

        async def settled() -> bool:
            return ids(await made.backups()) == ids(backups[5:])

        await eventually(settled)
        gone = await made.events("backup.deleted")
        assert sorted(event.backup_id or "" for event in gone) == ids(backups[:5])
        usage = await made.usage()
        assert usage.stored_bytes == sum(backup.size_bytes for backup in backups[5:])
        assert usage.check is not None
        assert usage.check.is_exact


async def test_a_policy_that_was_changed_meanwhile_deletes_nothing_more(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(retention=policy(2))
        backups = await make_some(made, 2)
        async with parts_of(settings, nats_server) as (runs, _, retention):
            owner = await runs.catalog.need_project("acme")
            service = await runs.catalog.need_service("acme", "orders")
            # As a coordinator that read the service before somebody took a stricter policy back.
            late = msgspec.structs.replace(service.value, retention=policy(1))
            assert len((await retention.apply(owner.value, late)).expired) == 1
        assert await kept(made) == ids(backups)


async def test_a_deletion_that_was_cut_off_is_finished_and_gives_its_bytes_back_once(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START) as made, catalog_of(nats_server) as catalog:
        await made.add_service()
        first, second, stays = await make_some(made, 3)

        async def cut_off(gone: BackupRecord) -> None:
            """As if its coordinator had been killed: the record marked, one object removed, one left."""
            bucket.server.blocking_client.delete_object(Bucket=bucket.name, Key=gone.artifacts[0].object_key)
            stored = await catalog.need_backup("acme", "orders", gone.id)
            marked = msgspec.structs.replace(
                gone, state=RunState.DELETING, deleting_since=START, deletion_reason="asked for by an operator"
            )
            await catalog.backups.update(stored.key, marked, stored.revision)
            marker = ActiveRun(activity=Activity.DELETION, project="acme", service="orders", run_id=gone.id, since=START)
            await catalog.active.create(deletion_marker("acme", "orders", gone.id), marker)

        async def finished(gone: BackupRecord) -> bool:
            return await catalog.active.get(deletion_marker("acme", "orders", gone.id)) is None

        await cut_off(first)
        await eventually(lambda: finished(first))
        account = await catalog.usage.get("acme")
        assert account is not None
        assert (account.value.stored_bytes, account.value.released) == (second.size_bytes + stays.size_bytes, [])
        # Of this one the bytes were given back already, and then it was cut off.
        given_back = msgspec.structs.replace(account.value, stored_bytes=stays.size_bytes, released=[f"orders/{second.id}"])
        await catalog.usage.update("acme", given_back, account.revision)
        await cut_off(second)
        await eventually(lambda: finished(second))
        account = await catalog.usage.get("acme")
        assert account is not None
        assert (account.value.stored_bytes, account.value.released) == (stays.size_bytes, [])

        assert ids(await made.backups()) == [stays.id]
        assert objects_of(bucket, first) == objects_of(bucket, second) == []
        gone = await made.events("backup.deleted")
        assert [event.backup_id for event in gone] == [first.id, second.id]
        assert {event.reason for event in gone} == {"asked for by an operator"}


async def test_of_two_that_carry_a_deletion_on_both_have_it_done_in_the_end_and_one_gives_the_bytes_back(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them stands still just before it gives them back, and the other has seen the record before that."""
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=ReaperSettings(every_s=60))
    async with (
        scene(settings, nats_server, start=START) as made,
        parts_of(settings, nats_server) as (late_runs, late, _),
        parts_of(settings, nats_server) as (runs, quick, _),
    ):
        await made.add_service()
        gone, stays = await make_some(made, 2)
        seen, asleep, awake = asyncio.Event(), asyncio.Event(), asyncio.Event()
        release, clear = late_runs.quotas.release, runs.store.clear

        async def clear_late(prefix: str) -> int:
            seen.set()
            await asleep.wait()
            return await clear(prefix)

        async def release_late(record: BackupRecord, revision: int) -> None:
            asleep.set()
            await awake.wait()
            await release(record, revision)

        monkeypatch.setattr(runs.store, "clear", clear_late)
        monkeypatch.setattr(late_runs.quotas, "release", release_late)
        quick_one = asyncio.create_task(quick.delete("acme", "orders", gone.id, reason="asked for"))
        await seen.wait()
        late_one = asyncio.create_task(late.finish_deletion("acme", "orders", gone.id))
        await quick_one
        assert (await made.usage()).stored_bytes == stays.size_bytes
        awake.set()
        await late_one
        assert (await made.usage()).stored_bytes == stays.size_bytes
        assert ids(await made.backups()) == [stays.id]
        assert len(await made.events("backup.deleted")) == 1


async def test_of_runs_without_success_only_the_newest_are_kept_and_the_ledger_counts_them_all(
    settings: CoordinatorSettings, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.retention._FAILURES_KEPT", 2)
    async with scene(settings, nats_server, start=START) as made, catalog_of(nats_server) as catalog:
        await made.add_service(schedule=Cron(expression="0 * * * *"))
        good = await made.passes(at("2026-03-02 01:00"))
        made.robot.failure = lambda _: dump_failed()
        failed = [await made.passes(at(f"2026-03-02 0{hour}:00")) for hour in range(2, 7)]
        assert ids(await made.backups()) == [good.run_id, *(entry.run_id for entry in failed[-2:])]
        assert [entry.state for entry in await made.ledger()] == [DueState.COMPLETED, *[DueState.FAILED] * 5]
        assert await catalog.backups.get(key("acme", "orders", failed[0].run_id)) is None
        assert await made.events("backup.deleted") == []
