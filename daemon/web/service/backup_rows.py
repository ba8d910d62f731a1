"""Backups as lines of a list: what the coordinator keeps of each, and what retention says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from contracts.policy.retention import BackupClass, Decision, Rule, Verdict
from contracts.policy.tags import TIME_TAGS
from contracts.records import BackupRecord, RunState, Trigger

CLASS_WORDS: Final = {
    BackupClass.PROTECTED: "protected",
    BackupClass.MONTHLY: "monthly",
    BackupClass.WEEKLY: "weekly",
    BackupClass.DAILY: "daily",
    BackupClass.NONE: "manual",
}
"""What people call a class: `none` is a manual backup that no tag protects."""
_RULE_TONES: Final = {Rule.PROTECTED: "good", Rule.FROZEN: "warning"}


_BRIEF: Final = {
    Rule.PROTECTED: "by its tag",
    Rule.MINIMUM: "held by the minimum",
    Rule.FROZEN: "while retention holds still",
}


class BackupRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line."""

    record: BackupRecord
    backup_class: str
    """In words; empty for what retention does not look at."""
    reason: str
    """Why it is kept, or goes; or what went wrong."""
    brief: str
    """The same in a few words, where there are such."""
    tone: str
    """Of the reason: `good`, `warning`, `problem`, or empty."""
    protected: bool
    own_tags: list[str]
    """Those that people gave."""
    period_tags: list[str]
    """Those that the coordinator gave."""
    took_s: float | None

    @property
    def when(self) -> datetime:
        """The moment it stands for."""
        return self.record.due_at or self.record.requested_at

    @property
    def stamp(self) -> str:
        """That moment for a column whose head says that it is UTC."""
        return f"{self.when.astimezone(UTC):%Y-%m-%d %H:%M}"

    @property
    def iso(self) -> str:
        """The same for programs."""
        return f"{self.when.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    @property
    def by(self) -> str:
        """Who wanted it: `by schedule`, `by jane`, or `by hand`."""
        if self.record.trigger is Trigger.SCHEDULE:
            return "by schedule"
        return f"by {self.record.actor.removeprefix('token:') or 'hand'}"

    @property
    def can_be_restored(self) -> bool:
        return self.record.state is RunState.COMPLETED


def backup_rows(
    records: Iterable[BackupRecord], verdicts: Mapping[str, Verdict], protected_tags: Sequence[str]
) -> list[BackupRow]:
    """In the order given; `verdicts` by id."""
    return [_row(record, verdicts.get(record.id), frozenset(protected_tags)) for record in records]


def took_s(record: BackupRecord) -> float | None:
    """How long it worked; None while it has not ended, or where it never began."""
    if record.started_at is None or record.finished_at is None:
        return None
    return max(0.0, (record.finished_at - record.started_at).total_seconds())


def class_counts(kept: Iterable[Verdict]) -> dict[BackupClass, int]:
    """How many there are of each class, those of which there is none included."""
    counts = dict.fromkeys(BackupClass, 0)
    for verdict in kept:
        counts[verdict.backup_class] += 1
    return counts


def _row(record: BackupRecord, verdict: Verdict | None, protected: frozenset[str]) -> BackupRow:
    looked_at = verdict if verdict is not None and verdict.decision is not Decision.UNTOUCHED else None
    reason, tone = _reason(record, looked_at)
    return BackupRow(
        record=record,
        backup_class=CLASS_WORDS[looked_at.backup_class] if looked_at else "",
        reason=reason,
        brief=_BRIEF.get(looked_at.rule, reason) if looked_at and reason == looked_at.reason else reason,
        tone=tone,
        protected=not protected.isdisjoint(record.tags),
        own_tags=[tag for tag in record.tags if tag not in TIME_TAGS],
        period_tags=[tag for tag in record.tags if tag in TIME_TAGS],
        took_s=took_s(record),
    )


def _reason(record: BackupRecord, verdict: Verdict | None) -> tuple[str, str]:
    if record.error is not None:
        return record.error.message, "problem"
    if record.state is RunState.DELETING:
        return f"is being deleted: {record.deletion_reason}" if record.deletion_reason else "is being deleted", ""
    if record.state is RunState.MISSED:
        return "nobody was there to make it", "problem"
    if verdict is None:
        return "", ""
    if verdict.decision is Decision.EXPIRE:
        return f"goes with the next retention: {verdict.reason}", "warning"
    return verdict.reason, _RULE_TONES.get(verdict.rule, "")
