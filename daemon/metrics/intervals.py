"""How far apart a schedule's due times are at most: what the age of a backup is measured by."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final

from contracts.policy.cron import CronTimes
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekly
from daemon.schedules import next_due

_FROM: Final = datetime(2023, 12, 31, tzinfo=UTC)
"""Before a leap year; any other day would do, but the answer shall not change with the calendar."""
_FIRING_DAYS: Final = 40
_HORIZON: Final = timedelta(days=400)


@lru_cache(maxsize=20_000)
def longest_gap_s(schedule: Schedule) -> float | None:
    """Seconds between two due times that follow each other, at most; None for a schedule that is off.

    A cron expression is looked at for 40 days on which it fires, or 400 days.
    """
    match schedule:
        case Off():
            return None
        case Daily():
            return timedelta(days=1).total_seconds()
        case Weekly():
            return timedelta(days=7).total_seconds()
        case Monthly():
            return timedelta(days=31).total_seconds()
        case Cron():
            return _of_cron(schedule, schedule.times)


def _of_cron(schedule: Cron, times: CronTimes) -> float | None:
    moments = sorted(time(hour, minute) for hour in times.hours for minute in times.minutes)
    days = _firing_days(schedule)
    if len(days) < 2:
        return None  # beyond what the calendar has
    within = (datetime.combine(_FROM, second) - datetime.combine(_FROM, first) for first, second in pairwise(moments))
    between = (
        datetime.combine(later, moments[0]) - datetime.combine(earlier, moments[-1]) for earlier, later in pairwise(days)
    )
    return max([*within, *between]).total_seconds()


def _firing_days(schedule: Cron) -> list[date]:
    """All days on which it fires are alike: only the first due time of each has to be searched for."""
    days: list[date] = []
    due = next_due(schedule, _FROM)
    while due is not None and len(days) < _FIRING_DAYS and (len(days) < 2 or due - _FROM < _HORIZON):
        days.append(due.date())
        due = next_due(schedule, datetime.combine(due.date(), time(23, 59, 59), UTC))
    return days
