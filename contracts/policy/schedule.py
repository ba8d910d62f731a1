"""When a service is backed up by itself.  All times are UTC, so no hour of the year is skipped or comes twice.

Told apart by `kind`, as in `{"kind": "weekly", "day": "sunday", "at": "03:30"}`.  A value that exists is valid: each
checks itself, however it was made, and raises InvalidInput naming the field below `schedule`.
"""

from __future__ import annotations

import hashlib
import re
from datetime import time, timedelta
from enum import StrEnum
from typing import Final, TypeAlias

import msgspec

from contracts.errors import InvalidInput
from contracts.policy.cron import CronTimes, parse_cron

_AT: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_FIRST_HOUR_S: Final = 3600


class Weekday(StrEnum):
    MONDAY = "monday"
    TUESDAY = "tuesday"
    WEDNESDAY = "wednesday"
    THURSDAY = "thursday"
    FRIDAY = "friday"
    SATURDAY = "saturday"
    SUNDAY = "sunday"

    @property
    def iso(self) -> int:
        """From 1 for Monday to 7."""
        return tuple(Weekday).index(self) + 1


class Off(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="off"):
    """Never: only people start backups."""


class Daily(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="daily"):
    """Once a day."""

    at: str
    """`HH:MM` or `HH:MM:SS`."""

    def __post_init__(self) -> None:
        time_of_day(self.at)


class Weekly(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="weekly"):
    """Once a week."""

    day: Weekday
    at: str

    def __post_init__(self) -> None:
        time_of_day(self.at)


class Monthly(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="monthly"):
    """Once in every month, on a day that each month has: 29, 30 and 31 mean the last day of months that are shorter.

    So the 31st is the last day of every month, and the 29th is 28 February except in leap years.  The cron expression
    `0 0 31 * *` is another thing: it skips the months without a 31st.
    """

    day: int
    at: str

    def __post_init__(self) -> None:
        if not 1 <= self.day <= 31:
            raise InvalidInput(
                "input.invalid", f"the day {self.day} of a monthly schedule is not within 1-31", field="schedule.day"
            )
        time_of_day(self.at)


class Cron(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="cron"):
    """Whenever the expression says; its grammar is that of `contracts.policy.cron`."""

    expression: str

    def __post_init__(self) -> None:
        parse_cron(self.expression, "schedule.expression")

    @property
    def times(self) -> CronTimes:
        return parse_cron(self.expression, "schedule.expression")


Schedule: TypeAlias = Off | Daily | Weekly | Monthly | Cron


def time_of_day(at: str) -> time:
    """Raises: InvalidInput for what is not `HH:MM` or `HH:MM:SS`."""
    match = _AT.fullmatch(at)
    if match is None:
        raise InvalidInput(
            "input.invalid",
            f"the time {at!r} must be written HH:MM or HH:MM:SS, from 00:00 to 23:59:59",
            field="schedule.at",
        )
    return time(int(match[1]), int(match[2]), int(match[3] or 0))


def default_schedule(project: str, service: str) -> Daily:
    """Once a day between 00:00 and 01:00 UTC, always at the same second for this service, all seconds used alike.

    Seconds and not minutes: of 20,000 services, six begin together and not 333.
    """
    digest = hashlib.sha256(f"{project}/{service}".encode()).digest()
    # 64 bits over 3,600 seconds: the remainder favours none by more than one part in 10^15.
    offset = timedelta(seconds=int.from_bytes(digest[:8], "big") % _FIRST_HOUR_S)
    minutes, seconds = divmod(int(offset.total_seconds()), 60)
    return Daily(at=f"00:{minutes:02}:{seconds:02}")
