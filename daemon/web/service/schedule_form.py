"""The schedule editor: a schedule as a form, the form as a schedule, and what comes of it in words and times."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final

import msgspec

from contracts.errors import InvalidInput
from contracts.policy.retention_policy import Per, RetentionPolicy
from contracts.policy.schedule import (
    Cron,
    Daily,
    Monthly,
    Off,
    Schedule,
    Weekday,
    Weekly,
    default_schedule,
)
from contracts.policy.schedule_words import schedule_words
from daemon.cli.figures import count
from daemon.schedules import due_between, next_dues
from daemon.web.forms import Form

NEXT: Final = 5
_SHOWN_AT: Final = "02:30"
"""What the fields of the other choices begin with: at night, and beside the rush of midnight."""
_LOOKED_AHEAD: Final = timedelta(days=31)
_MOST_COUNTED: Final = 10_000
"""Backups that reach back for days however often they are made."""
_SHORT_REACH: Final = timedelta(days=7)


class Choice(StrEnum):
    """Of the editor."""

    DEFAULT = "default"
    OFF = "off"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    CRON = "cron"


class SchedulePreview(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule means."""

    words: str
    next: list[datetime]
    reach: str = ""
    """A sentence about how little of the past the kept backups will cover; empty where that is no worry."""


def schedule_form(project: str, service: str, schedule: Schedule | None) -> Form:
    """The editor as it stands for a service; None is the default schedule."""
    shown = schedule if schedule is not None else default_schedule(project, service)
    values = {"choice": _choice(schedule), "at": _SHOWN_AT, "weekday": Weekday.SUNDAY, "day": "1", "expression": ""}
    match shown:
        case Daily(at=at):
            values |= {"at": at if schedule is not None else _SHOWN_AT}
        case Weekly(day=day, at=at):
            values |= {"weekday": day, "at": at}
        case Monthly(day=number, at=at):
            values |= {"day": str(number), "at": at}
        case Cron(expression=expression):
            values |= {"expression": expression}
        case Off():
            pass
    return Form.filled(**{name: str(value) for name, value in values.items()})


def read_schedule(form: Form) -> Schedule | None:
    """What was chosen; None for the default.  Raises: InvalidInput naming the field below `schedule`."""
    match form.value("choice"):
        case Choice.DEFAULT:
            return None
        case Choice.OFF:
            return Off()
        case Choice.DAILY:
            return Daily(at=form.value("at"))
        case Choice.WEEKLY:
            return Weekly(day=_weekday(form.value("weekday")), at=form.value("at"))
        case Choice.MONTHLY:
            return Monthly(day=_day_of_month(form.value("day")), at=form.value("at"))
        case Choice.CRON:
            return Cron(expression=form.value("expression"))
        case other:
            raise InvalidInput("input.invalid", f"{other[:40]!r} is none of the choices", field="schedule.choice")


def preview(schedule: Schedule, policy: RetentionPolicy, now: datetime) -> SchedulePreview:
    """In words, the next times, and how far back the backups of it will reach."""
    return SchedulePreview(
        words=schedule_words(schedule), next=next_dues(schedule, now, NEXT), reach=_reach(schedule, policy, now)
    )


def _reach(schedule: Schedule, policy: RetentionPolicy, now: datetime) -> str:
    most = policy.total_count
    if most is None or most > _MOST_COUNTED:
        return ""
    dues = list(islice(due_between(schedule, now, now + _LOOKED_AHEAD), most + 1))
    if len(dues) <= most:
        return ""
    reach = dues[-1] - dues[0]
    if reach >= _SHORT_REACH:
        return ""
    hours = max(1, round(reach / timedelta(hours=1)))
    back = count(hours, "hour") if hours < 48 else count(round(reach / timedelta(days=1)), "day")
    words = f"Of so many runs, the {most} backups that retention keeps reach back about {back}, besides what minimums hold."
    return f"{words} Counting days instead of runs keeps more of the past." if policy.per is Per.RUN else words


def _choice(schedule: Schedule | None) -> Choice:
    match schedule:
        case None:
            return Choice.DEFAULT
        case Off():
            return Choice.OFF
        case Daily():
            return Choice.DAILY
        case Weekly():
            return Choice.WEEKLY
        case Monthly():
            return Choice.MONTHLY
        case Cron():
            return Choice.CRON


def _weekday(text: str) -> Weekday:
    try:
        return Weekday(text)
    except ValueError:
        raise InvalidInput("input.invalid", f"{text[:40]!r} is not a day of the week", field="schedule.weekday") from None


def _day_of_month(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4):
        raise InvalidInput("input.invalid", f"{text[:40]!r} is not a day of the month: there are 1-31", field="schedule.day")
    return int(text)
