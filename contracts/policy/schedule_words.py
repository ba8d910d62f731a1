"""A schedule in plain words, such as `every Sunday at 03:30`.  All times are UTC; the words do not repeat that."""

from __future__ import annotations

from typing import Final

from contracts.policy.cron_words import cron_words
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekly

_LAST_DAY_OF_SOME: Final = 29
_LAST_DAY_OF_ALL: Final = 31


def schedule_words(schedule: Schedule) -> str:
    """A phrase that fits behind "It runs"."""
    match schedule:
        case Off():
            return "never by itself: only people start backups"
        case Daily(at=at):
            return f"every day at {at}"
        case Weekly(day=day, at=at):
            return f"every {day.capitalize()} at {at}"
        case Monthly(day=number, at=at):
            return f"{_day_of_month(number)} at {at}"
        case Cron():
            return cron_words(schedule.times)


def _day_of_month(number: int) -> str:
    if number == _LAST_DAY_OF_ALL:
        return "on the last day of every month"
    shorter = ", or the last of shorter ones," if number >= _LAST_DAY_OF_SOME else ""
    return f"on day {number} of every month{shorter}"
