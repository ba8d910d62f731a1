"""The retention rule: which backups of a service are kept, which expire, and why.

Each completed backup has one class, the first that fits: protected, monthly, weekly, daily, none.  There are three
passes, each from the newest to the oldest:

1. Minimums.  The newest of each class are kept, up to its minimum.  Protected ones are kept and use no slot.
2. Class maximums.  The counters go on; what is beyond its class's maximum expires.
3. Totals.  What passes 1 forced is counted first and stays.  Of the rest, one that would pass the total size expires, and
   older ones that fit stay; when the total count is reached, the rest expires.

Runs that did not complete and runs of the future are neither counted nor touched.  While retention is frozen nothing
expires.  Applying a plan and planning again expires nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from contracts.policy.freeze import Freeze, FreezeCause
from contracts.policy.freezing import find_freeze
from contracts.policy.retention_policy import Maximums, Minimums, Per, RetentionPolicy
from contracts.policy.run_facts import RunFacts, facts_of
from contracts.policy.tags import DAILY, MONTHLY, WEEKLY
from contracts.records import RunState

__all__ = [
    "BackupClass",
    "Decision",
    "Freeze",
    "FreezeCause",
    "Maximums",
    "Minimums",
    "Per",
    "RetentionPlan",
    "RetentionPolicy",
    "Rule",
    "RunFacts",
    "Verdict",
    "facts_of",
    "plan",
]


class BackupClass(StrEnum):
    """What a backup counts as."""

    PROTECTED = "protected"
    MONTHLY = "monthly"
    WEEKLY = "weekly"
    DAILY = "daily"
    NONE = "none"
    """A manual one without a protected tag."""


class Decision(StrEnum):
    KEEP = "keep"
    EXPIRE = "expire"
    UNTOUCHED = "untouched"
    """Not a completed backup of the past: the rule does not look at it."""


class Rule(StrEnum):
    """What decided."""

    PROTECTED = "protected"
    MINIMUM = "minimum"
    WITHIN_LIMITS = "within_limits"
    FROZEN = "frozen"
    CLASS_MAXIMUM = "class_maximum"
    TOTAL_SIZE = "total_size"
    TOTAL_COUNT = "total_count"
    NOT_COMPLETED = "not_completed"
    FUTURE = "future"


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What becomes of a run, and why."""

    run: RunFacts
    backup_class: BackupClass
    decision: Decision
    rule: Rule
    reason: str
    """A sentence's end: "kept: …" or "expired: …"."""


class RetentionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict for every run."""

    verdicts: list[Verdict]
    """Newest first."""
    freeze: Freeze | None
    """Why nothing expires although it might; None when retention is free to act."""

    @property
    def kept(self) -> list[Verdict]:
        """Newest first."""
        return [verdict for verdict in self.verdicts if verdict.decision is Decision.KEEP]

    @property
    def expired(self) -> list[Verdict]:
        """Oldest first, the order in which they are deleted: whatever cuts that short leaves the newer ones."""
        return [verdict for verdict in reversed(self.verdicts) if verdict.decision is Decision.EXPIRE]

    @property
    def untouched(self) -> list[Verdict]:
        """Newest first."""
        return [verdict for verdict in self.verdicts if verdict.decision is Decision.UNTOUCHED]


class _Outcome(NamedTuple):
    """Shared by all verdicts that say the same: a plan may have a million."""

    decision: Decision
    rule: Rule
    reason: str


_WITHIN: Final = _Outcome(Decision.KEEP, Rule.WITHIN_LIMITS, "within all limits")
_FUTURE: Final = _Outcome(Decision.UNTOUCHED, Rule.FUTURE, "it lies in the future")
_NOT_COMPLETED: Final = {
    state: _Outcome(Decision.UNTOUCHED, Rule.NOT_COMPLETED, f"{state}: only completed backups are counted")
    for state in RunState
}
_BY_ID: Final = attrgetter("id")
_BY_TIME: Final = attrgetter("at")


def plan(runs: Iterable[RunFacts], policy: RetentionPolicy, now: datetime) -> RetentionPlan:
    """What becomes of each run of a service at `now`; the order of `runs` does not matter.  O(n log n)."""
    # Two stable sorts are twice as fast as one by pairs: ids sort by time, so the second finds nearly all in place.
    ordered = sorted(runs, key=_BY_ID, reverse=True)
    ordered.sort(key=_BY_TIME, reverse=True)
    classify = _Classifier(policy)
    classes = [classify(run) for run in ordered]
    outcomes = [_beyond_the_rule(run, now) for run in ordered]
    limits = {
        BackupClass.MONTHLY: _ClassLimit("monthly", policy.minimums.monthly, policy.maximums.monthly, per_day=False),
        BackupClass.WEEKLY: _ClassLimit("weekly", policy.minimums.weekly, policy.maximums.weekly, per_day=False),
        BackupClass.DAILY: _ClassLimit("daily", policy.minimums.daily, policy.maximums.daily, per_day=policy.per is Per.DAY),
    }
    undecided = [at for at, outcome in enumerate(outcomes) if outcome is None]
    for at in undecided:
        limit = limits.get(classes[at])
        if limit is not None:
            outcomes[at] = limit.hold(ordered[at])
        elif classes[at] is BackupClass.PROTECTED:
            outcomes[at] = classify.protection_of(ordered[at])
    forced = [at for at in undecided if outcomes[at] is not None]
    undecided = [at for at in undecided if outcomes[at] is None]
    for at in undecided:
        limit = limits.get(classes[at])
        if limit is not None:
            outcomes[at] = limit.refuse(ordered[at])
    undecided = [at for at in undecided if outcomes[at] is None]
    total = _Total(policy, count=len(forced), size_bytes=sum(ordered[at].size_bytes for at in forced))
    for at in undecided:
        outcomes[at] = total.admit(ordered[at])
    freeze = find_freeze(ordered, policy.suspicious_size_factor, now)
    return RetentionPlan(verdicts=_verdicts(ordered, classes, outcomes, freeze), freeze=freeze)


def _beyond_the_rule(run: RunFacts, now: datetime) -> _Outcome | None:
    if run.state is not RunState.COMPLETED:
        return _NOT_COMPLETED[run.state]
    return _FUTURE if run.at > now else None


def _verdicts(
    ordered: Sequence[RunFacts], classes: Sequence[BackupClass], outcomes: Sequence[_Outcome | None], freeze: Freeze | None
) -> list[Verdict]:
    frozen: dict[_Outcome, _Outcome] = {}
    verdicts = []
    for run, backup_class, outcome in zip(ordered, classes, outcomes, strict=True):
        assert outcome is not None, "every pass has decided"
        decided = outcome
        if freeze is not None and outcome.decision is Decision.EXPIRE:
            if outcome not in frozen:
                reason = f"retention is frozen ({freeze.cause.in_words}); otherwise it would expire: {outcome.reason}"
                frozen[outcome] = _Outcome(Decision.KEEP, Rule.FROZEN, reason)
            decided = frozen[outcome]
        decision, rule, reason = decided
        verdicts.append(Verdict(run=run, backup_class=backup_class, decision=decision, rule=rule, reason=reason))
    return verdicts


class _Classifier:
    """The class of a run, by its tags; an automatic one is at least daily."""

    def __init__(self, policy: RetentionPolicy) -> None:
        self._protected = frozenset(policy.protected_tags)
        self._protections: dict[str, _Outcome] = {}

    def __call__(self, run: RunFacts) -> BackupClass:
        tags = run.tags
        if not self._protected.isdisjoint(tags):
            return BackupClass.PROTECTED
        if MONTHLY in tags:
            return BackupClass.MONTHLY
        if WEEKLY in tags:
            return BackupClass.WEEKLY
        return BackupClass.DAILY if run.automatic or DAILY in tags else BackupClass.NONE

    def protection_of(self, run: RunFacts) -> _Outcome:
        tag = min(self._protected.intersection(run.tags))
        if tag not in self._protections:
            self._protections[tag] = _Outcome(Decision.KEEP, Rule.PROTECTED, f"it bears the protected tag {tag!r}")
        return self._protections[tag]


class _ClassLimit:
    """Counts the backups of one class, newest first: up to the minimum, and then on up to the maximum.

    Per day it counts days, each by its newest backup; the others of a counted day use no slot, so that no minimum
    holds them, and are left to the totals.
    """

    def __init__(self, name: str, minimum: int, maximum: int, *, per_day: bool) -> None:
        self._minimum = minimum
        self._maximum = maximum
        self._days: set[date] | None = set() if per_day else None
        self._used = 0
        what = f"days with a {name} backup" if per_day else f"{name} backups"
        held = (
            f"{'the newest of its day, ' if per_day else ''}one of the newest {what}, of which the minimum keeps {minimum}"
        )
        self._held = _Outcome(Decision.KEEP, Rule.MINIMUM, held)
        self._beyond = _Outcome(Decision.EXPIRE, Rule.CLASS_MAXIMUM, f"beyond the maximum of {what}: {maximum}")

    def hold(self, run: RunFacts) -> _Outcome | None:
        """Pass 1."""
        if self._used >= self._minimum or self._has_day_of(run):
            return None
        self._count(run)
        return self._held

    def refuse(self, run: RunFacts) -> _Outcome | None:
        """Pass 2, for what pass 1 left."""
        if self._has_day_of(run):
            return None
        if 0 < self._maximum <= self._used:
            return self._beyond
        self._count(run)
        return None

    def _has_day_of(self, run: RunFacts) -> bool:
        return self._days is not None and run.at.astimezone(UTC).date() in self._days

    def _count(self, run: RunFacts) -> None:
        self._used += 1
        if self._days is not None:
            self._days.add(run.at.astimezone(UTC).date())


class _Total:
    """Pass 3: admits what fits beside what was forced."""

    def __init__(self, policy: RetentionPolicy, *, count: int, size_bytes: int) -> None:
        self._most = policy.total_count
        self._most_bytes = policy.total_size_bytes
        self._count = count
        self._size_bytes = size_bytes
        size = f"it would pass the total size: {self._most_bytes} bytes"
        self._too_large = _Outcome(Decision.EXPIRE, Rule.TOTAL_SIZE, size)
        self._too_many = _Outcome(Decision.EXPIRE, Rule.TOTAL_COUNT, f"beyond the total count: {self._most}")

    def admit(self, run: RunFacts) -> _Outcome:
        if self._most_bytes is not None and self._size_bytes + run.size_bytes > self._most_bytes:
            return self._too_large
        if self._most is not None and self._count >= self._most:
            return self._too_many
        self._count += 1
        self._size_bytes += run.size_bytes
        return _WITHIN
