"""The fleet's gauges as a pure function of what is known, and how far apart due times are."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from contracts.control import ServiceView
from contracts.ids import new_run_id
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekday, Weekly
from contracts.records import Alive, ProjectRecord, RunState, RunSummary, ServiceRecord
from contracts.services import PostgreSQLOptions
from contracts.standing import Level, Standing
from daemon.metrics.exposition import scrape
from daemon.metrics.fleet import FleetSnapshot
from daemon.metrics.intervals import longest_gap_s
from daemon.metrics.metrics import Metrics
from daemon.metrics.watch import FRESH_S, FleetWatch
from daemon.schedules import next_dues
from tests.daemon.scraping import Samples

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY_S = 86_400.0


def view(project: str, name: str, *, nodes: list[str]) -> ServiceView:
    summary = RunSummary(
        id=new_run_id(NOW), state=RunState.COMPLETED, requested_at=NOW, size_bytes=12_345_678, elapsed_s=61.5
    )
    record = ServiceRecord(
        project=project, name=name, created_at=NOW, options=PostgreSQLOptions(), nodes=nodes, schedule=Daily(at="01:00")
    )
    return ServiceView(
        record=record,
        kind="postgresql",
        last_completed=summary,
        last_run=summary,
        next_due=NOW + timedelta(hours=13),
        standing=Standing(level=Level.GOOD),
    )


def snapshot(services: int = 1, nodes: int = 1) -> FleetSnapshot:
    names = [f"node-{number}" for number in range(nodes)]
    views = [
        view(f"project-{number % 100}", f"service-{number}", nodes=[names[number % nodes]]) for number in range(services)
    ]
    projects = [
        ProjectRecord(name=f"project-{number}", created_at=NOW, key_id="", recipients=[])
        for number in range(min(services, 100))
    ]
    alive = {name: Alive(node=name, seen_at=NOW) for name in names}
    return FleetSnapshot(views=views, projects=projects, usage={}, nodes=alive, requests={}, reports=0, at=NOW)


async def test_ten_thousand_services_are_told_within_the_time_of_a_scrape() -> None:
    fleet = snapshot(services=10_000, nodes=1_000)

    async def look() -> FleetSnapshot:
        return fleet

    began_s = time.monotonic()
    told = await scrape(Metrics("1.0.0"), FleetWatch(look))
    elapsed_s = time.monotonic() - began_s
    assert told.body.count(b"\n") > 80_000
    assert elapsed_s < 5, "Prometheus waits for ten seconds"
    assert len(told.body) < 16_000_000


async def test_who_scrapes_again_within_seconds_is_told_the_same_and_many_at_once_share_a_look() -> None:
    looks = 0
    clock = 100.0

    async def look() -> FleetSnapshot:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0)
        return snapshot()

    watch = FleetWatch(look, clock_s=lambda: clock)
    await asyncio.gather(watch.text(), watch.text(), watch.text())
    assert looks == 1
    clock += FRESH_S
    await watch.text()
    assert looks == 1
    clock += 0.1
    await watch.text()
    assert looks == 2


@pytest.mark.parametrize(
    ("schedule", "gap_s"),
    [
        (Off(), None),
        (Daily(at="03:00"), DAY_S),
        (Weekly(day=Weekday.SUNDAY, at="03:00"), 7 * DAY_S),
        (Monthly(day=31, at="03:00"), 31 * DAY_S),
        (Cron(expression="*/15 * * * *"), 900),
        (Cron(expression="0 3 * * *"), DAY_S),
        (Cron(expression="0 3 * * 1-5"), 3 * DAY_S),
        (Cron(expression="*/15 9-17 * * 1-5"), 3 * DAY_S - (8 * 3600 + 45 * 60)),
        (Cron(expression="0 0 1 * *"), 31 * DAY_S),
        (Cron(expression="0 0 1 1 *"), 366 * DAY_S),
        (Cron(expression="0 0 29 2 *"), 1461 * DAY_S),
    ],
)
def test_the_longest_gap_of_a_schedule(schedule: Schedule, gap_s: float | None) -> None:
    assert longest_gap_s(schedule) == gap_s


FIELD = st.sampled_from(["*", "*/6", "0", "1,5", "2-4"])


@given(minute=FIELD, hour=FIELD, weekday=st.sampled_from(["*", "1-5", "0", "2,4"]))
@settings(max_examples=40, deadline=None)
def test_no_two_due_times_are_farther_apart_than_the_longest_gap(minute: str, hour: str, weekday: str) -> None:
    schedule = Cron(expression=f"{minute} {hour} * * {weekday}")
    dues = next_dues(schedule, NOW, 200)
    longest_s = longest_gap_s(schedule)
    assert longest_s is not None
    assert all((later - earlier).total_seconds() <= longest_s for earlier, later in pairwise(dues))


def test_two_coordinators_in_one_process_count_apart() -> None:
    first, second = Metrics("1.0.0"), Metrics("1.0.0")
    first.note_bus_error()
    assert isinstance(first.registry, CollectorRegistry)
    assert Samples(generate_latest(first.registry).decode()).value("strongroom_nats_errors_total") == 1
    assert Samples(generate_latest(second.registry).decode()).value("strongroom_nats_errors_total") == 0
