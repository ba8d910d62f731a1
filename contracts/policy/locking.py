"""Immutability: until when a backup's objects are locked in the object store, as pure decisions.

A lock is set once a backup is whole, on all its objects alike, and only then does the backup count as completed.  It counts
from the backup's end.  Locks are only ever lengthened: when a backup comes to count as more (it is the first of its month,
or somebody protects it), or when the policy asks for longer.  No store lets anybody shorten one in `compliance` mode.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from contracts.errors import InvalidInput
from contracts.policy.tags import DAILY, MONTHLY, WEEKLY

MOST_LOCK_DAYS: Final = 3650
"""Ten years; more is a mistyped number that nobody could take back."""
CLASSES: Final = ("daily", "weekly", "monthly", "protected")


class LockMode(StrEnum):
    """Who may end a lock early.  Source: Amazon S3 Object Lock."""

    GOVERNANCE = "governance"
    """Whoever holds credentials with the right to bypass it; those of the coordinator must not have it."""
    COMPLIANCE = "compliance"
    """Nobody, the owner of the store included."""


class LockDays(msgspec.Struct, frozen=True, kw_only=True):
    """For how many days a backup's objects can be deleted by nobody, by what the backup counts as; 0 is not at all.

    `every` holds for each backup; a class adds to that, and of all that apply the longest counts.
    """

    every: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    protected: int = 0

    def __post_init__(self) -> None:
        for name in ("every", *CLASSES):
            days = getattr(self, name)
            if not 0 <= days <= MOST_LOCK_DAYS:
                raise InvalidInput(
                    "input.invalid",
                    f"lock_days.{name} {days} is not within 0-{MOST_LOCK_DAYS}; 0 locks nothing",
                    field=f"retention.lock_days.{name}",
                )

    @property
    def longest(self) -> int:
        return max(self.every, self.daily, self.weekly, self.monthly, self.protected)

    def of_backup(self, tags: Collection[str], *, automatic: bool, protected_tags: Collection[str]) -> int:
        """The longest of what applies to a backup with these tags: being promoted takes no lock away."""
        applying = [self.every]
        if automatic or DAILY in tags:
            applying.append(self.daily)
        if WEEKLY in tags:
            applying.append(self.weekly)
        if MONTHLY in tags:
            applying.append(self.monthly)
        if not set(protected_tags).isdisjoint(tags):
            applying.append(self.protected)
        return max(applying)


class ObjectLock(msgspec.Struct, frozen=True, kw_only=True):
    """What the store has promised of all objects of a backup."""

    mode: LockMode
    until: datetime
    """Aware; by the store's clock."""
    since: datetime
    """What its days count from, the same whenever it is lengthened."""

    def holds(self, now: datetime) -> bool:
        return now < self.until


def counts_from(requested_at: datetime, finished_at: datetime, store: datetime) -> datetime:
    """What a backup's days count from: when it ended, as far as that can be.

    That moment is by the clock of an agent's host, which may be wrong by years: it is neither before the coordinator asked
    for the backup nor after the store's own moment, when the backup is whole.
    """
    return min(max(requested_at, finished_at), store)


def wanted_until(ended_at: datetime, days: float) -> datetime | None:
    """Until when a backup that ended then is to be locked for so many days; None for not at all.

    Whole seconds, rounded up: the stores know no smaller ones, and the same lock asked for twice must be the same.
    """
    if days <= 0:
        return None
    exact = ended_at + timedelta(days=days)
    return exact if exact.microsecond == 0 else exact.replace(microsecond=0) + timedelta(seconds=1)


class ClockDoubt(msgspec.Struct, frozen=True, kw_only=True):
    """Why no lock is set: two clocks disagree, and nobody can take back a lock that was set by the wrong one."""

    reason: str


def check_clocks(own: datetime, store: datetime, most_apart: timedelta) -> ClockDoubt | None:
    """Whether the coordinator's clock and the store's agree well enough to lock anything."""
    apart = abs(own - store)
    if apart <= most_apart:
        return None
    ahead = "ahead of" if own > store else "behind"
    return ClockDoubt(
        reason=f"the coordinator's clock ({own:%Y-%m-%d %H:%M:%S} UTC) is {_in_words(apart)} {ahead} the object store's "
        f"({store:%Y-%m-%d %H:%M:%S} UTC): nothing is locked before both are right"
    )


def bounded(until: datetime, store: datetime, longest: timedelta, most_apart: timedelta) -> datetime:
    """Never longer than `longest` from the store's own moment, give or take what clocks may be apart."""
    latest = store + longest + most_apart
    return until if until <= latest else latest.replace(microsecond=0)


def locked_words(until: datetime) -> str:
    return f"locked in the object store until {until:%Y-%m-%d %H:%M} UTC"


def _in_words(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"
