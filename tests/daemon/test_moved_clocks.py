"""Clocks that were ahead, schedules that were changed while something waited: no due time is lost, none is made twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from contracts import control
from contracts.errors import InvalidInput
from contracts.object_keys import backup_prefix
from contracts.policy.freeze import FreezeCause
from contracts.policy.schedule import Cron, Daily, Schedule
from contracts.records import DueRecord, DueState, RunState
from contracts.subjects import SERVICES_BUCKET
from daemon.keys.custody import Custody
from daemon.keys.master import MasterKey
from daemon.purger import Purger
from daemon.reaper import ReaperSettings
from daemon.scheduler import SchedulerSettings
from daemon.settings import CoordinatorSettings
from daemon.store.s3 import open_store
from tests.daemon.inside import catalog_of, parts_of
from tests.daemon.robots import HEALTHY, robot
from tests.daemon.running import coordinator_settings
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

DAILY = Daily(at="00:30")
HOURLY = Cron(expression="0 * * * *")
EVERY_MINUTE = Cron(expression="* * * * *")
YEAR_2030 = at("2030-01-01 00:00")


def runs(made: Scene) -> list[str]:
    """Ids of all runs that any robot took up."""
    return [request.run_id for each in made.robots.values() for request in each.taken]


async def completes(made: Scene, moment: str, service: str = "orders") -> None:
    """Sets the clock to a due time and waits for its backup, whatever was written down of it before."""
    made.clock.set(at(moment))

    async def is_completed() -> bool:
        states = {entry.due_at: entry.state for entry in await made.ledger(service)}
        return states.get(at(moment)) is DueState.COMPLETED

    await eventually(is_completed)
    await made.idle(service)


async def tags(made: Scene) -> dict[str, list[str]]:
    """By the day of the month on which each backup was due."""
    return {f"{backup.due_at:%d}": backup.tags for backup in await made.completed() if backup.due_at is not None}


async def set_schedule(made: Scene, schedule: Schedule, service: str = "orders") -> None:
    call = control.ServiceSetSchedule(project="acme", service=service, schedule=schedule)
    await made.operator.call(control.SERVICE_SET_SCHEDULE, call)


async def waiting(made: Scene) -> DueRecord:
    """The only entry, once it is there: of a due time that waits for a node."""
    await eventually(made.ledger)
    (entry,) = await made.ledger()
    assert entry.state is DueState.DUE
    return entry


async def decided(made: Scene) -> DueRecord:
    """The only entry, once it does not wait any more."""

    async def look() -> DueRecord | None:
        (entry,) = await made.ledger()
        return None if entry.state.is_open else entry

    return await eventually(look)


@asynccontextmanager
async def waiting_for_node_2(settings: CoordinatorSettings, nats_server: NatsServer) -> AsyncIterator[Scene]:
    """`orders` was due at 00:30, it is 00:31, and its only node is not there."""
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        await made.add_service(schedule=DAILY, nodes=["node-2"])
        made.clock.set(at("2026-03-02 00:30"))
        await waiting(made)
        made.clock.set(at("2026-03-02 00:31"))
        yield made


async def test_the_days_between_are_backed_up_once_each_after_a_clock_was_ahead_for_a_moment(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=DAILY)
        await made.passes(at("2026-03-02 00:30"))
        await made.passes(at("2026-03-06 00:30"))
        states = [entry.state for entry in await made.ledger()]
        assert states == [DueState.COMPLETED, *[DueState.MISSED] * 3, DueState.COMPLETED]
        made.clock.set(at("2026-03-02 00:31"))
        for day in (3, 4, 5):
            await completes(made, f"2026-03-0{day} 00:30")
        await made.passes(at("2026-03-06 00:30"))
        await completes(made, "2026-03-07 00:30")
        ledger = await made.ledger()
        assert [entry.due_at for entry in ledger] == [at(f"2026-03-0{day} 00:30") for day in range(2, 8)]
        assert [(entry.state, entry.has_run, entry.reason) for entry in ledger[1:4]] == [(DueState.COMPLETED, True, "")] * 3
        assert len(runs(made)) == len(set(runs(made))) == 6
        # All of one week and month, whose tags the first backup has.
        first, *later = (await tags(made)).values()
        assert first == ["daily", "monthly", "weekly"]
        assert later == [["daily"]] * 5


async def test_tags_of_weeks_are_not_repeated_for_every_backup_after_a_clock_was_ahead(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-05 00:00")) as made:
        await made.add_service(schedule=DAILY)
        await made.passes(at("2026-03-05 00:30"))
        # Into the next year and back.
        await made.passes(at("2027-03-02 00:30"))
        for day in ("06", "07", "08", "09", "10", "11"):
            await completes(made, f"2026-03-{day} 00:30")
        found = [backup for backup in await made.completed() if backup.due_at is not None and backup.due_at.year == 2026]
        by_day = {backup.due_at.day: backup.tags for backup in found if backup.due_at is not None}
        assert {day for day in range(6, 12) if "weekly" in by_day[day]} == {9}
        assert [day for day in range(6, 12) if "monthly" in by_day[day]] == []


async def test_what_was_written_off_under_a_right_clock_stays_written_off(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=HOURLY)
        await made.passes(at("2026-03-02 03:00"))
        states = [entry.state for entry in await made.ledger()]
        assert states == [DueState.MISSED, DueState.MISSED, DueState.COMPLETED]
        # A little back and forth: everything that is looked at again was written down in good time.
        made.clock.set(at("2026-03-02 03:00"))
        await made.passes(at("2026-03-02 04:00"))
        made.clock.set(at("2026-03-02 03:59"))
        await made.passes(at("2026-03-02 05:00"))
        assert [entry.state for entry in await made.ledger()] == [*states, DueState.COMPLETED, DueState.COMPLETED]


async def test_a_service_added_while_the_clock_was_ahead_is_due_as_soon_as_it_is_right(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service("books", schedule=DAILY)
        made.clock.set(at("2026-03-06 00:00"))
        await made.add_service(schedule=HOURLY)
        # The scheduler knows it, by a due time that was none; then that the clock is right, by one of another service.
        await made.passes(at("2026-03-06 01:00"))
        await completes(made, "2026-03-02 00:30", "books")
        for hour in (1, 2, 3):
            await completes(made, f"2026-03-02 0{hour}:00")
        dues = await made.operator.call(control.SERVICE_DUES, control.ServiceDues(project="acme", service="orders", next=1))
        assert dues.next == [at("2026-03-02 04:00")]
        assert [entry.due_at.day for entry in await made.ledger()] == [2, 2, 2, 6]
        assert len(runs(made)) == len(set(runs(made)))
    # To a coordinator that is started now, it lies in the future that the service was added.
    async with scene(settings, nats_server, start=at("2026-03-02 23:30"), is_new=False) as made:
        made.robot.health["acme/books"] = HEALTHY
        await made.alive()
        await completes(made, "2026-03-03 00:30", "books")
        await completes(made, "2026-03-03 01:00")


async def test_a_service_rescheduled_while_the_clock_was_ahead_is_due_as_soon_as_it_is_right(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        for name in ("orders", "books"):
            await made.add_service(name, schedule=DAILY)
        made.clock.set(at("2026-03-06 00:00"))
        await set_schedule(made, HOURLY)
        await made.passes(at("2026-03-06 01:00"))
        await completes(made, "2026-03-02 00:30", "books")
        for hour in (1, 2):
            await completes(made, f"2026-03-02 0{hour}:00")


async def test_what_waits_for_a_node_is_missed_when_the_schedule_is_changed(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with waiting_for_node_2(settings, nats_server) as made:
        await set_schedule(made, Daily(at="12:00"))
        entry = await decided(made)
        assert (entry.state, entry.has_run) == (DueState.MISSED, False)
        assert entry.reason == "the schedule was changed before any node could make it"
        assert await made.backups() == []


async def test_what_waits_for_a_node_is_missed_when_its_service_is_deleted(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with waiting_for_node_2(settings, nats_server) as made:
        await made.operator.call(control.SERVICE_DELETE, control.ServiceDelete(project="acme", service="orders"))
        entry = await decided(made)
        assert (entry.state, entry.has_run) == (DueState.MISSED, False)
        assert entry.reason == "the service was deleted before any node could make it"
        assert await made.backups() == []


async def test_what_waits_for_a_node_is_missed_when_its_project_was_deleted_and_is_had_back(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with waiting_for_node_2(settings, nats_server) as made:
        await made.operator.call(control.PROJECT_DELETE, control.ProjectDelete(project="acme"))
        await made.operator.call(control.PROJECT_UNDELETE, control.ProjectDelete(project="acme"))
        entry = await decided(made)
        assert (entry.state, entry.has_run) == (DueState.MISSED, False)
        assert entry.reason == "the project was deleted before any node could make it"


async def test_what_waits_for_a_node_is_still_made_when_the_same_schedule_is_set_again(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with waiting_for_node_2(settings, nats_server) as made:
        await set_schedule(made, DAILY)
        assert (await waiting(made)).reason == ""
        assert [event.facts for event in await made.events("service.changed")] == []
        async with robot(nats_server, "node-2", "acme/orders") as late:
            entry = await decided(made)
            assert (entry.state, entry.due_at) == (DueState.COMPLETED, at("2026-03-02 00:30"))
            assert [request.run_id for request in late.taken] == [entry.run_id]


async def test_a_new_schedule_gives_its_first_due_time_the_whole_start_deadline(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    reaper = ReaperSettings(every_s=0.1, start_deadline_s=1.5)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    clock = asyncio.get_running_loop().time
    async with waiting_for_node_2(settings, nats_server) as made:
        waits_since = clock()
        await set_schedule(made, HOURLY)
        await decided(made)
        await eventually(lambda: clock() - waits_since > reaper.start_deadline_s)
        waits_since = clock()
        entry = await made.passes(at("2026-03-02 01:00"))
        assert (entry.state, entry.has_run) == (DueState.MISSED, True)
        assert clock() - waits_since >= reaper.start_deadline_s


async def test_a_minute_by_minute_schedule_without_an_agent_is_missed_after_the_start_deadline_and_freezes_retention(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    reaper = ReaperSettings(every_s=0.1, start_deadline_s=0.7)
    scheduler = SchedulerSettings(tick_s=0.02, retry_s=0.05)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper, scheduler=scheduler)
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        await made.add_service(schedule=EVERY_MINUTE, nodes=["node-2"])

        async def next_is_noted() -> bool:
            return [entry.due_at for entry in (await made.ledger())[-1:]] == [made.clock()]

        async def a_run_is_missed_while_minutes_pass() -> bool:
            made.clock.advance(minutes=1)
            await eventually(next_is_noted)
            return bool(await made.backups())

        await eventually(a_run_is_missed_while_minutes_pass)
        (missed,) = await made.backups()
        assert missed.state is RunState.MISSED
        assert missed.error is not None
        assert "start strongroom-agent on node-2" in missed.error.message
        await made.idle()
        # Those before it were passed by one by one: nothing is open, and there is no gap.
        entries = [entry for entry in await made.ledger() if missed.due_at is not None and entry.due_at <= missed.due_at]
        assert {entry.state for entry in entries} == {DueState.MISSED}
        assert len(entries) > 1
        assert (entries[-1].due_at - entries[0].due_at).total_seconds() == 60 * (len(entries) - 1)
        view = await made.operator.call(control.SERVICE_SHOW, control.ServiceRef(project="acme", service="orders"))
        assert view.freeze is not None
        assert (view.freeze.cause, view.freeze.run_id) == (FreezeCause.RUN_MISSED, missed.id)
        assert [event.backup_id for event in await made.events("retention.frozen")] == [missed.id]


async def test_nothing_is_purged_before_its_grace_was_over_for_long_enough_by_a_steady_clock(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    reaper = ReaperSettings(every_s=0.1, purge_every_s=0.05, purge_after_s=3600)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        for name in ("orders", "books"):
            await made.add_service(name)
        backup = await made.make()
        await made.operator.call(control.SERVICE_DELETE, control.ServiceDelete(project="acme", service="orders"))
        made.clock.set(YEAR_2030)
        async with parts_of(settings, nats_server) as (parts, deletions, _):
            custody = Custody(parts.catalog, parts.store, MasterKey.generate())
            patient = Purger(parts, deletions, custody, patience_s=3600)
            for _again in range(2):
                await patient.sweep(YEAR_2030)
            assert (await made.record(backup)).state is RunState.COMPLETED
            assert len([stored async for stored in parts.store.objects(backup_prefix("acme", "orders", backup.id))]) == 2
            # Nor is it by one that was patient before it led again, or before the clock was right for a look.
            hasty = Purger(parts, deletions, custody, patience_s=0.2)
            await hasty.sweep(YEAR_2030)
            clock, seen_at = asyncio.get_running_loop().time, asyncio.get_running_loop().time()
            await eventually(lambda: clock() - seen_at > 0.2)
            await hasty.sweep(at("2026-03-02 00:00"))
            await hasty.sweep(YEAR_2030)
            await eventually(lambda: clock() - seen_at > 0.5)
            hasty.begin_term()
            await hasty.sweep(YEAR_2030)
            assert (await made.record(backup)).state is RunState.COMPLETED
            # The grace of one that was not deleted is not over at all, however long one waits.
            seen_at = clock()
            await eventually(lambda: clock() - seen_at > 0.2)
            await hasty.sweep(YEAR_2030)
            assert [stored.key for stored in await parts.catalog.services.select()] == ["acme.books"]
        async with open_store(settings.store) as store:
            assert [stored async for stored in store.objects(backup_prefix("acme", "orders", backup.id))] == []


async def test_a_list_skips_and_logs_what_cannot_be_read_only_where_that_is_asked_for(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service()
    await spoil(nats_server, "acme.broken")
    async with catalog_of(nats_server) as catalog:
        for prefix in ("", "acme"):
            with pytest.raises(InvalidInput):
                await catalog.services.select(prefix)
            with capture_logs() as logs:
                found = await catalog.services.select(prefix, skip_unreadable=True)
            assert [stored.key for stored in found] == ["acme.orders"]
            (line,) = [line for line in logs if line["event"] == "record.unreadable"]
            assert (line["bucket"], line["key"], line["log_level"]) == (SERVICES_BUCKET, "acme.broken", "error")


async def test_schedules_of_others_are_followed_though_some_services_cannot_be_read(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        for name in ("orders", "books"):
            await made.add_service(name, schedule=DAILY)
        await made.passes(at("2026-03-02 00:30"))
    spoiled = ["books", *(f"books-{number}" for number in range(40))]
    for name in spoiled:
        await spoil(nats_server, f"acme.{name}")
    async with scene(settings, nats_server, start=at("2026-03-02 12:00"), is_new=False) as made:
        await completes(made, "2026-03-03 00:30")
        # Something new of those, of all of the project, and of the one that is well: nobody stands in its way.
        async with nats_server.connect_coordinator() as client:
            for subject in (*(f"service.changed.acme.{name}" for name in spoiled), "project.undeleted.acme.-"):
                await client.publish(f"strongroom.event.{subject}", b"{}")
            await client.flush()
        await set_schedule(made, HOURLY)
        await completes(made, "2026-03-03 01:00")


async def spoil(nats_server: NatsServer, key: str) -> None:
    """Puts a record there that no version can read."""
    async with nats_server.connect_coordinator() as client:
        bucket = await client.jetstream(timeout=5).key_value(SERVICES_BUCKET)
        await bucket.put(key, b'{"project": 7}')
