"""A calendar of what a schedule and a policy will keep: one cell a day, by the highest class of what is left of it.

Pure: it plays the simulator of `contracts.policy.simulation` and puts what came of it in squares and in words.
"""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import msgspec

from contracts.policy.retention import BackupClass, RetentionPolicy
from contracts.policy.schedule import Daily, Off, Schedule
from contracts.policy.simulation import Circumstances, Simulation, simulate
from daemon.cli.figures import count
from daemon.schedules import due_between
from daemon.web.service.backup_rows import CLASS_WORDS

STRETCHES: Final = (30, 90, 180, 365)
"""Days that may be asked for."""
CELL: Final = 16
"""Of the drawing, with its gap."""
_SIDE: Final = 14
_INSTANT: Final = timedelta(microseconds=1)
_WORK: Final = 600_000
"""Backups looked at, all plans together: about a second of one core."""
_RUNS: Final = 10_000
"""As many due times of a cron expression take as long."""
_SHORTER: Final = (14, 7, 3, 1)
_IMAGINED: Final = Daily(at="00:30")
"""What is played where a schedule is off."""
_ORDER: Final = list(BackupClass)
_LETTERS: Final = {
    BackupClass.PROTECTED: "P",
    BackupClass.MONTHLY: "M",
    BackupClass.WEEKLY: "W",
    BackupClass.DAILY: "D",
    BackupClass.NONE: "n",
}


class CalendarDay(msgspec.Struct, frozen=True, kw_only=True):
    """One square."""

    day: date
    look: str
    """`protected`, `monthly`, `weekly`, `daily`, `manual`, `expired`, or `idle` where nothing was made."""
    letter: str
    words: str
    x: int
    y: int


class CalendarMonth(msgspec.Struct, frozen=True, kw_only=True):
    """One drawing, its weeks below each other, Mondays first."""

    name: str
    """`January 2027`."""
    days: list[CalendarDay]
    width: int
    height: int
    kept: list[tuple[str, int]]
    """By class in words: what is left of the month at the end."""
    made: int
    expired: int

    @property
    def words(self) -> str:
        """The drawing in a sentence."""
        kept = ", ".join(f"{number} {name}" for name, number in self.kept) or "none"
        return f"{self.name}: {count(self.made, 'backup')} made, kept at the end: {kept}"


class Calendar(msgspec.Struct, frozen=True, kw_only=True):
    """All of it."""

    months: list[CalendarMonth]
    days: int
    """How many were played."""
    shortened_from: int
    """How many were asked for, where so frequent a schedule allows fewer; else 0."""
    last: date
    made: int
    kept: int
    kept_bytes: int
    by_class: list[tuple[str, int]]
    oldest: date | None
    """The day of the oldest backup that is left."""
    is_imagined: bool
    """Whether the schedule is off, and one backup a day was played instead."""
    side: int = _SIDE


def play_calendar(schedule: Schedule, policy: RetentionPolicy, *, now: datetime, days: int, size_bytes: int) -> Calendar:
    """What is left after so many days from today on, if every run completes and takes `size_bytes`.

    Fewer days where the schedule is so frequent that it would take too long.
    """
    start = datetime.combine(now.astimezone(UTC).date(), time(), UTC)
    played_schedule = _IMAGINED if isinstance(schedule, Off) else schedule
    most = _affordable(played_schedule, policy, start, days)
    played = simulate(
        _dues(played_schedule, start, most), policy, Circumstances(start=start, days=most, size_bytes=max(1, size_bytes))
    )
    return _calendar(played, shortened_from=days if most < days else 0, is_imagined=isinstance(schedule, Off))


def _dues(schedule: Schedule, start: datetime, days: int) -> Iterator[datetime]:
    """Those of so many days, and none beyond: times of cron expressions are dear."""
    return due_between(schedule, start - _INSTANT, start + timedelta(days=days) - _INSTANT)


def _affordable(schedule: Schedule, policy: RetentionPolicy, start: datetime, days: int) -> int:
    """As many days as can be played in a moment."""
    per_day = max(1, sum(1 for _ in _dues(schedule, start, 1)))
    for stretch in (days, *(each for each in reversed(STRETCHES) if each < days), *_SHORTER):
        runs = per_day * stretch
        held = runs if policy.total_count is None else min(runs, policy.total_count + per_day)
        if runs <= _RUNS and (policy.limits_nothing or runs * held <= _WORK):
            return stretch
    return 1


def _calendar(played: Simulation, *, shortened_from: int, is_imagined: bool) -> Calendar:
    left: dict[date, list[BackupClass]] = {}
    for verdict in played.final.kept:
        left.setdefault(verdict.run.at.astimezone(UTC).date(), []).append(verdict.backup_class)
    made = {simulated.day: len(simulated.made) for simulated in played.days}
    days = [simulated.day for simulated in played.days]
    total = Counter(verdict.backup_class for verdict in played.final.kept)
    return Calendar(
        months=_months(days, made, left),
        days=len(days),
        shortened_from=shortened_from,
        last=days[-1],
        made=sum(made.values()),
        kept=len(played.final.kept),
        kept_bytes=played.days[-1].kept_bytes,
        by_class=_by_class(total),
        oldest=min(left, default=None),
        is_imagined=is_imagined,
    )


def _months(days: list[date], made: dict[date, int], left: dict[date, list[BackupClass]]) -> list[CalendarMonth]:
    found: list[CalendarMonth] = []
    for year, month in sorted({(day.year, day.month) for day in days}):
        own = [day for day in days if (day.year, day.month) == (year, month)]
        first_column = date(year, month, 1).weekday()
        cells = [_day(day, made[day], left.get(day, []), first_column) for day in own]
        top = min(cell.y for cell in cells)
        cells = [msgspec.structs.replace(cell, y=cell.y - top) for cell in cells]
        counted = Counter(each for day in own for each in left.get(day, []))
        made_here = sum(made[day] for day in own)
        found.append(
            CalendarMonth(
                name=f"{calendar.month_name[month]} {year}",
                days=cells,
                width=7 * CELL,
                height=max(cell.y for cell in cells) + CELL,
                kept=_by_class(counted),
                made=made_here,
                expired=made_here - sum(counted.values()),
            )
        )
    return found


def _day(day: date, made: int, classes: list[BackupClass], first_column: int) -> CalendarDay:
    place = first_column + day.day - 1
    if classes:
        best = min(classes, key=_ORDER.index)
        look, letter = CLASS_WORDS[best], _LETTERS[best]
        kept = ", ".join(f"{number} {name}" for name, number in _by_class(Counter(classes)))
        words = f"kept: {kept}" + (f", of {made} made" if made > len(classes) else "")
    else:
        look, letter = ("expired", "") if made else ("idle", "")
        words = f"{count(made, 'backup')} made, none kept" if made else "nothing was due"
    return CalendarDay(
        day=day,
        look=look,
        letter=letter,
        words=f"{day:%A} {day.isoformat()}: {words}",
        x=place % 7 * CELL,
        y=place // 7 * CELL,
    )


def _by_class(counted: Counter[BackupClass]) -> list[tuple[str, int]]:
    return [(CLASS_WORDS[each], counted[each]) for each in _ORDER if counted[each]]
