"""Schedules as people write them: `off`, `daily 00:30`, `weekly sunday 03:00`, `monthly 31 02:15`, or `*/10 * * * *`."""

from __future__ import annotations

from typing import Final

from contracts.errors import InvalidInput
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekday, Weekly

_FORMS: Final = "'off', 'daily HH:MM', 'weekly DAY HH:MM', 'monthly 1-31 HH:MM' or a cron expression of five fields"


def parse_schedule(text: str) -> Schedule:
    """Raises: InvalidInput naming the field below `schedule` that is wrong."""
    words = text.lower().split()
    match words:
        case ["off"]:
            return Off()
        case ["daily", at]:
            return Daily(at=at)
        case ["weekly", day, at]:
            return Weekly(day=_weekday(day), at=at)
        case ["monthly", day, at]:
            return Monthly(day=_day_of_month(day), at=at)
        case ["off" | "daily" | "weekly" | "monthly", *_] | []:
            raise InvalidInput("input.invalid", f"the schedule {text!r} must be written {_FORMS}", field="schedule")
        case _:
            return Cron(expression=" ".join(text.split()))


def spell_schedule(schedule: Schedule) -> str:
    """What `parse_schedule` reads as the same schedule."""
    match schedule:
        case Off():
            return "off"
        case Daily(at=at):
            return f"daily {at}"
        case Weekly(day=day, at=at):
            return f"weekly {day} {at}"
        case Monthly(day=number, at=at):
            return f"monthly {number} {at}"
        case Cron(expression=expression):
            return expression


def _weekday(text: str) -> Weekday:
    found = [day for day in Weekday if len(text) >= 3 and day.startswith(text)]
    if not found:
        raise InvalidInput(
            "input.invalid", f"{text!r} is not a day of the week: there are {', '.join(Weekday)}", field="schedule.day"
        )
    return found[0]


def _day_of_month(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise InvalidInput("input.invalid", f"{text!r} is not a day of the month: there are 1-31", field="schedule.day")
    return int(text)
