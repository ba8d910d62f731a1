"""Schedules followed: one run per due time, whatever happens to coordinators, clocks, agents and servers."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from contracts import control
from contracts.errors import ErrorInfo
from contracts.ids import due_run_id
from contracts.policy.schedule import Cron, Daily, Off, Schedule
from contracts.records import DueRecord, DueState, RunState, Trigger
from contracts.reports import Report
from daemon.reaper import ReaperSettings
from daemon.settings import CoordinatorSettings
from tests.daemon.running import coordinator_settings
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

DAILY = Daily(at="00:30")
HOURLY = Cron(expression="0 * * * *")


async def newest_done(made: Scene) -> DueRecord | None:
    """The newest entry, once it is decided."""
    newest = (await made.ledger())[-1]
    return None if newest.state.is_open else newest


async def has_entry(made: Scene) -> bool:
    return bool(await made.ledger())


async def set_schedule(made: Scene, schedule: Schedule) -> None:
    await made.operator.call(
        control.SERVICE_SET_SCHEDULE, control.ServiceSetSchedule(project="acme", service="orders", schedule=schedule)
    )


def dump_failed() -> ErrorInfo:
    return ErrorInfo(code="dump.failed", message="the disk under the database is broken")


def runs(made: Scene) -> list[str]:
    """Ids of all runs that any robot took up."""
    return [request.run_id for robot in made.robots.values() for request in robot.taken]


async def test_a_due_time_leads_to_one_backup_which_gets_the_tags_of_its_periods(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=DAILY)
        entry = await made.passes(at("2026-03-02 00:30"))
        assert entry.state is DueState.COMPLETED
        (first,) = await made.completed()
        assert first.id == entry.run_id == due_run_id("acme", "orders", at("2026-03-02 00:30"))
        assert (first.trigger, first.due_at) == (Trigger.SCHEDULE, at("2026-03-02 00:30"))
        assert first.tags == ["daily", "monthly", "weekly"]
        # A Tuesday of the same week and month, a Monday, and the first of a month in the middle of a week.
        for moment, tags in (
            ("2026-03-03 00:30", ["daily"]),
            ("2026-03-09 00:30", ["daily", "weekly"]),
            ("2026-04-01 00:30", ["daily", "monthly", "weekly"]),
            ("2026-04-02 00:30", ["daily"]),
        ):
            await made.passes(at(moment))
            newest = (await made.completed())[-1]
            assert (newest.due_at, newest.tags) == (at(moment), tags)
        manual = await made.make()
        assert manual.tags == []


async def test_the_week_gets_its_tag_from_its_first_backup_that_succeeds(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=DAILY)
        await made.passes(at("2026-03-02 00:30"))
        made.robot.failure = lambda _: dump_failed()
        assert (await made.passes(at("2026-03-09 00:30"))).state is DueState.FAILED
        made.robot.failure = lambda _: None
        await made.passes(at("2026-03-10 00:30"))
        await made.passes(at("2026-03-11 00:30"))
        assert [backup.tags for backup in (await made.completed())[-2:]] == [["daily", "weekly"], ["daily"]]


async def test_two_coordinators_make_one_run_per_due_time_and_give_each_tag_once(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00"), coordinators=2) as made:
        await made.add_service(schedule=HOURLY)
        for hour in range(1, 7):
            await made.passes(at(f"2026-03-02 0{hour}:00"))
        completed = await made.completed()
        assert [backup.due_at for backup in completed] == [at(f"2026-03-02 0{hour}:00") for hour in range(1, 7)]
        assert [backup.tags for backup in completed] == [["daily", "monthly", "weekly"], *[["daily"]] * 5]
        assert len(runs(made)) == len(set(runs(made))) == 6
        assert len(await made.events("backup.requested")) == 6


async def test_a_report_that_comes_twice_completes_one_run_with_its_tags_once(
    settings: CoordinatorSettings, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00"), coordinators=2) as made:
        await made.add_service(schedule=DAILY)
        report_once = made.robot.report

        async def report_twice(report: Report, message_id: str = "") -> None:
            # Each with an id of its own, or none: the stream itself would store only one.
            await asyncio.gather(report_once(report), report_once(report))

        monkeypatch.setattr(made.robot, "report", report_twice)
        await made.passes(at("2026-03-02 00:30"))
        await made.passes(at("2026-03-03 00:30"))
        assert [backup.tags for backup in await made.completed()] == [["daily", "monthly", "weekly"], ["daily"]]
        assert len(await made.events("backup.completed")) == len(runs(made)) == 2
        usage = await made.usage()
        assert usage.check is not None
        assert usage.check.is_exact, usage.check.differences


async def test_a_clock_that_is_set_back_fires_nothing_twice_and_one_that_was_ahead_misses_nothing_more(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=HOURLY)
        await made.passes(at("2026-03-02 01:00"))
        await made.passes(at("2026-03-02 02:00"))
        made.clock.set(at("2026-03-02 00:59"))
        for minute in ("00:59", "01:00", "01:59", "02:00"):
            await made.passes(at("2026-03-02 01:00" if minute < "02:00" else "2026-03-02 02:00"))
        assert len(runs(made)) == 2
        # A year ahead by mistake, for a while; then right again.
        await made.passes(at("2027-03-02 00:00"))
        made.clock.set(at("2026-03-02 02:30"))
        entry = await made.passes(at("2026-03-02 03:00"))
        assert entry.state is DueState.COMPLETED
        assert len(runs(made)) == len(set(runs(made))) == 4


async def test_what_was_due_while_no_coordinator_ran_is_made_up_for_once_and_the_rest_is_missed(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=HOURLY)
        await made.passes(at("2026-03-02 01:00"))
        # To a coordinator, five hours at once are five hours in which none was there.
        made.clock.set(at("2026-03-02 06:20"))
        await eventually(lambda: len(runs(made)) == 2)
        await made.idle()
        states = {entry.due_at: entry.state for entry in await made.ledger()}
        assert states == {
            at("2026-03-02 01:00"): DueState.COMPLETED,
            **{at(f"2026-03-02 0{hour}:00"): DueState.MISSED for hour in (2, 3, 4, 5)},
            at("2026-03-02 06:00"): DueState.COMPLETED,
        }
        (event,) = await made.events("backup.missed")
        assert event.facts == {"count": 4, "first": "2026-03-02T02:00:00Z", "last": "2026-03-02T05:00:00Z"}
        figures = (
            await made.operator.call(control.SERVICE_DUES, control.ServiceDues(project="acme", service="orders"))
        ).figures
        assert (figures.due, figures.completed, figures.missed) == (6, 2, 4)
        assert figures.success_rate == pytest.approx(2 / 6)


async def test_a_coordinator_that_starts_again_goes_on_where_the_schedule_was_left(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=DAILY)
        await made.passes(at("2026-03-02 00:30"))
    async with scene(settings, nats_server, start=at("2026-03-04 12:00"), is_new=False) as made:
        entry = await eventually(lambda: newest_done(made))
        assert entry.due_at == at("2026-03-04 00:30")
        assert [entry.state for entry in await made.ledger()] == [DueState.COMPLETED, DueState.MISSED, DueState.COMPLETED]


async def test_a_run_that_no_agent_takes_is_missed_with_an_event_and_freezes_retention(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    reaper = ReaperSettings(every_s=0.1, start_deadline_s=0.5)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        await made.add_service(schedule=DAILY, nodes=["node-2"])
        entry = await made.passes(at("2026-03-02 00:30"))
        assert entry.state is DueState.MISSED
        assert "start strongroom-agent on node-2" in entry.reason
        (missed,) = await made.backups()
        assert (missed.state, missed.id) == (RunState.MISSED, entry.run_id)
        assert [event.backup_id for event in await made.events("backup.missed")] == [missed.id]
        assert [event.backup_id for event in await made.events("retention.frozen")] == [missed.id]


async def test_a_run_still_going_when_the_next_is_due_is_not_overlapped_and_the_next_is_skipped(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=HOURLY)
        made.robot.may_finish.clear()
        made.clock.set(at("2026-03-02 01:00"))
        await eventually(lambda: len(runs(made)) == 1)
        made.clock.set(at("2026-03-02 02:00"))
        skipped = await eventually(lambda: newest_done(made))
        assert (skipped.state, skipped.due_at) == (DueState.SKIPPED, at("2026-03-02 02:00"))
        made.robot.may_finish.set()
        await made.idle()
        assert (await made.passes(at("2026-03-02 03:00"))).state is DueState.COMPLETED
        assert len(runs(made)) == 2
        assert not skipped.has_run
        assert [event.facts for event in await made.events("backup.skipped")] == [{"due_at": "2026-03-02T02:00:00Z"}]


async def test_a_run_that_is_due_waits_for_a_manual_one_in_its_way(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=DAILY)
        made.robot.may_finish.clear()
        manual = await made.request()
        await eventually(lambda: runs(made) == [manual.id])
        made.clock.set(at("2026-03-02 00:30"))
        await eventually(lambda: has_entry(made))
        made.robot.may_finish.set()
        assert (await made.passes(at("2026-03-02 00:30"))).state is DueState.COMPLETED


async def test_a_schedule_counts_from_when_it_was_set_and_off_means_off(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=Off())
        made.clock.set(at("2026-03-05 12:00"))
        await set_schedule(made, HOURLY)
        assert (await made.passes(at("2026-03-05 13:00"))).state is DueState.COMPLETED
        assert [entry.due_at for entry in await made.ledger()] == [at("2026-03-05 13:00")]
        await set_schedule(made, Off())
        made.clock.set(at("2026-03-05 20:00"))
        await set_schedule(made, HOURLY)
        await made.passes(at("2026-03-05 21:00"))
        assert [entry.due_at.hour for entry in await made.ledger()] == [13, 21]


async def test_a_new_service_is_due_once_a_day_in_the_first_hour_and_says_when(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 12:00")) as made:
        await made.add_service(schedule=None)
        dues = await made.operator.call(control.SERVICE_DUES, control.ServiceDues(project="acme", service="orders", next=3))
        assert dues.is_default
        assert [due.date().isoformat() for due in dues.next] == ["2026-03-03", "2026-03-04", "2026-03-05"]
        assert {due.hour for due in dues.next} == {0}
        assert len({due.time() for due in dues.next}) == 1
        assert (await made.passes(dues.next[0])).state is DueState.COMPLETED


async def test_a_restart_of_the_bus_neither_loses_nor_doubles_a_due_time(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00"), coordinators=2) as made:
        await made.add_service(schedule=HOURLY)
        await made.passes(at("2026-03-02 01:00"))
        nats_server.kill()
        made.clock.set(at("2026-03-02 02:00"))
        nats_server.start()
        await made.is_answered()

        async def both_done() -> bool:
            return [entry.state for entry in await made.ledger()] == [DueState.COMPLETED] * 2

        await eventually(both_done, 60)
        assert len(runs(made)) == len(set(runs(made))) == 2


async def test_a_minute_by_minute_schedule_is_followed_without_a_gap(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=Cron(expression="* * * * *"))
        moment = at("2026-03-02 00:00")
        for _ in range(10):
            moment += timedelta(minutes=1)
            await made.passes(moment)
        assert [entry.state for entry in await made.ledger()] == [DueState.COMPLETED] * 10
