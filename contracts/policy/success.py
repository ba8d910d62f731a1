"""How well a service's schedule was kept: measured against what was due, so that silence lowers it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

import msgspec

from contracts.records import DueRecord, DueState


class DueFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Of the due times of a stretch of time that were decided one way or the other."""

    since: datetime
    due: int = 0
    completed: int = 0
    failed: int = 0
    missed: int = 0
    skipped: int = 0
    cancelled: int = 0
    success_rate: float | None = None
    """Completed of due, from 0 to 1; None when nothing was due."""


def due_figures(entries: Iterable[DueRecord], since: datetime) -> DueFigures:
    """The figures of all entries due at `since` or later that are not open any more."""
    counts = dict.fromkeys(DueState, 0)
    for entry in entries:
        if entry.due_at >= since:
            counts[entry.state] += 1
    due = sum(number for state, number in counts.items() if not state.is_open)
    return DueFigures(
        since=since,
        due=due,
        completed=counts[DueState.COMPLETED],
        failed=counts[DueState.FAILED],
        missed=counts[DueState.MISSED],
        skipped=counts[DueState.SKIPPED],
        cancelled=counts[DueState.CANCELLED],
        success_rate=counts[DueState.COMPLETED] / due if due else None,
    )
