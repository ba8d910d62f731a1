"""When a schedule is due next.

The simple kinds are computed here: they know seconds and "the last day of shorter months", which no cron expression
can say, and cost a microsecond.  Cron expressions are croniter's, given in numbers alone: what is accepted, and what day
and weekday mean together, is decided by `contracts.policy.cron`, whatever croniter would make of the text.
"""

from __future__ import annotations

import calendar
from collections.abc import Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile
from typing import Final

from croniter import croniter

from contracts.policy.cron import CronTimes
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekly, time_of_day

_LONGEST_GAP_YEARS: Final = 50
"""Between two due times: a 29 February that is a Sunday comes after 40 years at the latest."""


def next_due(schedule: Schedule, after: datetime) -> datetime | None:
    """The first due time later than `after` (aware), in UTC; None when there is none."""
    return next(_dues(schedule, after), None)


def next_dues(schedule: Schedule, after: datetime, n: int) -> list[datetime]:
    """The first `n` due times later than `after`; fewer when there are no more."""
    return list(islice(_dues(schedule, after), n))


def due_between(schedule: Schedule, after: datetime, until: datetime) -> Iterator[datetime]:
    """All due times later than `after` and not later than `until`, each later than the one before."""
    return takewhile(lambda due: due <= until, _dues(schedule, after))


def _dues(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    """All due times later than `after`; they end where the calendar does, with the year 9999."""
    if after.tzinfo is None:
        raise ValueError("a due time is searched after an aware moment")
    start = after.astimezone(UTC)
    match schedule:
        case Off():
            return iter(())
        case Daily(at=at):
            return _at_time(_every(start.date(), 1), at, start)
        case Weekly(day=day, at=at):
            first = _later(start.date(), (day.iso - start.isoweekday()) % 7)
            return _at_time(_every(first, 7) if first else iter(()), at, start)
        case Monthly(day=number, at=at):
            return _at_time(_in_every_month(start.date(), number), at, start)
        case Cron():
            return _by_croniter(schedule.times, start)


def _at_time(days: Iterator[date], at: str, after: datetime) -> Iterator[datetime]:
    moment = time_of_day(at)
    for day in days:
        due = datetime.combine(day, moment, UTC)
        if due > after:
            yield due


def _every(first: date, step_days: int) -> Iterator[date]:
    day: date | None = first
    while day is not None:
        yield day
        day = _later(day, step_days)


def _later(day: date, days: int) -> date | None:
    return day + timedelta(days=days) if (date.max - day).days >= days else None


def _in_every_month(first: date, number: int) -> Iterator[date]:
    year, month = first.year, first.month
    while year <= date.max.year:
        yield date(year, month, min(number, calendar.monthrange(year, month)[1]))
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)


def _by_croniter(times: CronTimes, after: datetime) -> Iterator[datetime]:
    # From the whole minute: due times are whole minutes, and croniter's fractions of seconds are floats.
    found = croniter(
        _in_numbers(times),
        after.replace(second=0, microsecond=0),
        ret_type=datetime,
        day_or=times.either_day,
        max_years_between_matches=_LONGEST_GAP_YEARS,
    )
    while True:
        try:
            due = found.get_next(datetime)
        except (ValueError, OverflowError):
            # The expression is known to fire, so what croniter cannot represent is a year after 9999.
            return
        yield due


def _in_numbers(times: CronTimes) -> str:
    days, weekdays = _listed(times.days, 31), _listed(times.weekdays, 7)
    if times.either_day and "*" in (days, weekdays):
        # `1-31` or `0-6` written out is restricted and matches every day; croniter would take it for a star.
        days = weekdays = "*"
    return " ".join((_listed(times.minutes, 60), _listed(times.hours, 24), days, _listed(times.months, 12), weekdays))


def _listed(values: Collection[int], all_of_them: int) -> str:
    return "*" if len(values) == all_of_them else ",".join(map(str, values))
