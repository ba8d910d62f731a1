"""A year of a project with three services, lived through with a clock that is set from one due time to the next.

What is there at the end, in the catalogue and in the bucket, is exactly what the simulator says of the same year.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
from nats.aio.msg import Msg

from contracts import control
from contracts.errors import ErrorInfo
from contracts.events import event_decoder
from contracts.ids import due_run_id
from contracts.object_keys import backup_prefix
from contracts.policy.retention import RetentionPolicy, RunFacts
from contracts.policy.retention_policy import Maximums, Minimums, Per
from contracts.policy.schedule import Cron, Daily, Schedule, Weekday, Weekly
from contracts.policy.simulation import Simulation, play
from contracts.records import BackupRecord, RunState
from contracts.requests import BackupRequest
from daemon.reaper import ReaperSettings
from daemon.scheduler import SchedulerSettings
from daemon.schedules import due_between
from daemon.settings import CoordinatorSettings
from tests.daemon.running import coordinator_settings
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

START: Final = at("2026-01-01 00:00")
END: Final = at("2027-01-01 00:00")

SERVICES: Final[Mapping[str, tuple[Schedule, RetentionPolicy]]] = {
    "orders": (Daily(at="00:17:31"), RetentionPolicy()),
    "events": (
        Cron(expression="5 */12 * * *"),
        RetentionPolicy(per=Per.DAY, minimums=Minimums(daily=7, weekly=2, monthly=12), total_count=30),
    ),
    "files": (
        Weekly(day=Weekday.SUNDAY, at="03:00"),
        RetentionPolicy(minimums=Minimums(daily=0, weekly=2, monthly=2), maximums=Maximums(weekly=8, monthly=4)),
    ),
}
FAILING_DAYS: Final = frozenset({"2026-02-02", "2026-02-03", "2026-06-07", "2026-11-01"})
"""On which every automatic backup fails: a Monday and a Tuesday, a Sunday, and a Sunday that is the first of a month."""
MANUAL: Final[Mapping[datetime, tuple[str, list[str]]]] = {
    at("2026-01-15 12:34"): ("orders", ["before-migration", "protected"]),
    at("2026-07-01 12:34"): ("orders", []),
    at("2026-12-20 12:34"): ("orders", []),
    at("2026-12-24 12:34"): ("files", ["protected"]),
}


def fails(request: BackupRequest) -> ErrorInfo | None:
    """By the day in the run's id, which is that of its due time; a manual one is made by hand at 12:34."""
    day, hour = request.run_id[:8], request.run_id[9:13]
    if f"{day[:4]}-{day[4:6]}-{day[6:]}" in FAILING_DAYS and hour != "1234":
        return ErrorInfo(code="dump.failed", message="the database was down that day")
    return None


def moments() -> Iterator[tuple[datetime, str, bool]]:
    """Everything that happens, in order: when, to which service, and whether it is due."""

    def dues(service: str) -> Iterator[tuple[datetime, str, bool]]:
        # A service is due for the first time after it was added.
        for due in due_between(SERVICES[service][0], START, END - timedelta(microseconds=1)):
            yield due, service, True

    manual = [(when, service, False) for when, (service, _) in sorted(MANUAL.items())]
    return heapq.merge(manual, *(dues(service) for service in SERVICES))


class Ends:
    """Which runs have ended, as the events say."""

    def __init__(self) -> None:
        self._ended: dict[str, asyncio.Event] = {}

    async def take(self, message: Msg) -> None:
        event = event_decoder.decode(message.data)
        self._of(event.backup_id or "").set()

    async def wait(self, run_id: str) -> None:
        async with asyncio.timeout(20):
            await self._of(run_id).wait()
        del self._ended[run_id]

    def _of(self, run_id: str) -> asyncio.Event:
        return self._ended.setdefault(run_id, asyncio.Event())


@pytest.fixture
def settings(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> CoordinatorSettings:
    """With a clock that is asked often, and a reaper that has no part in it."""
    reaper = ReaperSettings(every_s=5, start_deadline_s=60, lost_after_s=60)
    return coordinator_settings(
        tmp_path, nats_server, bucket, reaper=reaper, scheduler=SchedulerSettings(tick_s=0.005, retry_s=0.02)
    )


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_a_year_ends_with_exactly_the_backups_that_the_simulator_predicts(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        made.robot.failure = fails
        # All of one size, so that nothing about a backup but its time and its tags decides.
        made.robot.data = lambda _: b"x" * 20_000
        for service, (schedule, policy) in SERVICES.items():
            await made.add_service(service, schedule=schedule, retention=policy)
        await made.alive()
        ends = Ends()
        for verb in ("completed", "failed"):
            await made.operator.client.subscribe(f"strongroom.event.backup.{verb}.acme.*", cb=ends.take)
        for moment, service, is_due in moments():
            made.clock.set(moment)
            await ends.wait(due_run_id("acme", service, moment) if is_due else await ask_by_hand(made, service, moment))
        made.clock.set(END)
        for service in SERVICES:
            await made.idle(service)
            assert_as_predicted(service, await made.backups(service))
        usage = await made.usage()
        kept = {service: await made.completed(service) for service in SERVICES}
        assert usage.check is not None
        assert usage.check.is_exact, usage.check.differences
        assert usage.stored_bytes == sum(backup.size_bytes for backups in kept.values() for backup in backups)
        prefixes = {backup_prefix("acme", service, each.id) for service in SERVICES for each in kept[service]}
        assert all(any(key.startswith(prefix) for prefix in prefixes) for key in bucket.list_keys())
        figures = (
            await made.operator.call(control.SERVICE_DUES, control.ServiceDues(project="acme", service="orders"))
        ).figures
        assert (figures.due, figures.completed) == (30, 30)


async def ask_by_hand(made: Scene, service: str, moment: datetime) -> str:
    await made.idle(service)
    _, tags = MANUAL[moment]
    return (await made.request(service, tags=tags)).id


def assert_as_predicted(service: str, records: list[BackupRecord]) -> None:
    predicted = predict(service)
    there = {
        (record.due_at or record.requested_at, *record.tags) for record in records if record.state is RunState.COMPLETED
    }
    assert there == {(verdict.run.at, *sorted(verdict.run.tags)) for verdict in predicted.final.kept}


def predict(service: str) -> Simulation:
    """What the simulator makes of the same year."""
    runs = []
    for number, (moment, of, is_due) in enumerate(moments()):
        if of != service:
            continue
        failed = is_due and moment.date().isoformat() in FAILING_DAYS
        runs.append(
            RunFacts(
                id=f"{number:06d}",
                at=moment,
                size_bytes=0 if failed else 20_000,
                tags=[] if is_due else MANUAL[moment][1],
                automatic=is_due,
                state=RunState.FAILED if failed else RunState.COMPLETED,
            )
        )
    return play(runs, SERVICES[service][1], start=START, end=END)
