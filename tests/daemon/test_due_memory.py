"""When a service is due next is found out once, and remembered for as long as it is true."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from contracts.policy.schedule import Cron, Daily, Off, Schedule, Weekday, Weekly
from contracts.records import ServiceRecord
from contracts.services import PostgreSQLOptions
from daemon.catalog.buckets import Stored
from daemon.fleet import _Dues
from daemon.schedules import next_due
from tests.daemon.scene import at

SCHEDULES: list[Schedule | None] = [
    None,
    Off(),
    Daily(at="02:00"),
    Weekly(day=Weekday.SUNDAY, at="03:30"),
    Cron(expression="*/20 * * * *"),
]
BEGIN = at("2026-03-10 12:00")


def service(schedule: Schedule | None) -> Stored[ServiceRecord]:
    record = ServiceRecord(
        project="acme", name="orders", created_at=BEGIN, options=PostgreSQLOptions(), nodes=["db1"], schedule=schedule
    )
    return Stored("acme.orders", record, 1)


@given(
    schedule=st.sampled_from(SCHEDULES),
    steps=st.lists(st.timedeltas(min_value=timedelta(days=-3), max_value=timedelta(days=10)), max_size=8),
)
def test_it_is_never_another_than_the_schedule_says_wherever_the_clock_goes(
    schedule: Schedule | None, steps: list[timedelta]
) -> None:
    stored = service(schedule)
    dues, now = _Dues(stored, None), BEGIN
    for step in [timedelta(0), *steps]:
        now += step
        assert dues.next(now) == next_due(stored.value.effective_schedule, now)
