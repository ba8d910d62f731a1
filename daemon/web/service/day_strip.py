"""The last thirty days of a service as a strip: what was due on each, and what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import msgspec

from contracts.records import DueRecord, DueState
from daemon.cli.figures import count

DAYS: Final = 30
_WORST_FIRST: Final = (
    DueState.MISSED,
    DueState.FAILED,
    DueState.DUE,
    DueState.REQUESTED,
    DueState.SKIPPED,
    DueState.CANCELLED,
    DueState.COMPLETED,
)
_TONES: Final = {
    DueState.MISSED: "problem",
    DueState.FAILED: "problem",
    DueState.DUE: "busy",
    DueState.REQUESTED: "busy",
    DueState.SKIPPED: "warning",
    DueState.CANCELLED: "off",
    DueState.COMPLETED: "good",
}
_NOTHING: Final = "none"


class DayCell(msgspec.Struct, frozen=True, kw_only=True):
    """One UTC day."""

    day: date
    tone: str
    """Of the worst that became of a due time: `problem`, `warning`, `busy`, `off`, `good`, or `none`."""
    words: str
    """Such as `2 completed, 1 missed`."""
    is_mixed: bool = False
    """Whether something completed on a day on which something else did not."""


def day_strip(entries: Iterable[DueRecord], now: datetime, days: int = DAYS) -> list[DayCell]:
    """The days up to today, the oldest first."""
    today = now.astimezone(UTC).date()
    first = today - timedelta(days=days - 1)
    found: dict[date, dict[DueState, int]] = {}
    for entry in entries:
        day = entry.due_at.astimezone(UTC).date()
        if first <= day <= today:
            counts = found.setdefault(day, {})
            counts[entry.state] = counts.get(entry.state, 0) + 1
    return [_cell(first + timedelta(days=index), found) for index in range(days)]


def strip_words(cells: Sequence[DayCell]) -> str:
    """The whole strip in a sentence, for whoever cannot see it."""
    bad = sum(cell.tone == "problem" for cell in cells)
    good = sum(cell.tone == "good" for cell in cells)
    idle = sum(cell.tone == _NOTHING for cell in cells)
    parts = [f"{count(good, 'day')} without a fault"]
    parts += [f"{count(bad, 'day')} with failed or missed runs"] if bad else []
    parts += [f"{count(idle, 'day')} on which nothing was due"] if idle else []
    return f"The last {len(cells)} days: {', '.join(parts)}."


def _cell(day: date, found: dict[date, dict[DueState, int]]) -> DayCell:
    counts = found.get(day)
    if counts is None:
        return DayCell(day=day, tone=_NOTHING, words="nothing was due")
    present = [state for state in _WORST_FIRST if counts.get(state)]
    return DayCell(
        day=day,
        tone=_TONES[present[0]],
        words=", ".join(f"{counts[state]:,} {state}" for state in present),
        is_mixed=len(present) > 1 and DueState.COMPLETED in present,
    )
