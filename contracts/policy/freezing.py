"""When retention must hold still: the newest backups look unhealthy, so the old ones may be the only good ones."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from contracts.figures import size
from contracts.policy.freeze import Freeze, FreezeCause
from contracts.policy.run_facts import RunFacts
from contracts.records import RunState

_USUAL_OF: Final = 5
"""How many backups before the newest say what size is usual."""
_DONE: Final = frozenset({RunState.COMPLETED, RunState.DELETING})
_UNHEALTHY: Final = frozenset({RunState.FAILED, RunState.MISSED})


def find_freeze(newest_first: Sequence[RunFacts], suspicious_size_factor: float, now: datetime) -> Freeze | None:
    """The reason to delete nothing, or None.

    The newest due run that ended decides; one that is still under way, was cancelled by somebody or lies in the future says
    nothing yet, and a manual backup does not show that the schedule works again.
    """
    present = (run for run in newest_first if run.at <= now)
    return _after_failure(present) or _after_shrinking(newest_first, suspicious_size_factor, now)


def _after_failure(present: Iterable[RunFacts]) -> Freeze | None:
    ended = (run for run in present if run.automatic and (run.state in _DONE or run.state in _UNHEALTHY))
    newest = next(ended, None)
    if newest is None or newest.state in _DONE:
        return None
    missed = newest.state is RunState.MISSED
    return Freeze(
        cause=FreezeCause.RUN_MISSED if missed else FreezeCause.RUN_FAILED,
        run_id=newest.id,
        reason=f"the newest due run, of {_when(newest)}, {'was missed' if missed else 'failed'}",
    )


def _after_shrinking(newest_first: Sequence[RunFacts], factor: float, now: datetime) -> Freeze | None:
    completed = (run for run in newest_first if run.state is RunState.COMPLETED and run.at <= now)
    newest, before = next(completed, None), list(islice(completed, _USUAL_OF))
    if newest is None or not before:
        return None
    usual = statistics.median(run.size_bytes for run in before)
    if newest.size_bytes >= usual * factor:
        return None
    return Freeze(
        cause=FreezeCause.SUSPICIOUS_SIZE,
        run_id=newest.id,
        reason=(
            f"the newest backup, of {_when(newest)}, is suspiciously small: {size(newest.size_bytes)}, "
            f"where {size(usual)} is usual"
        ),
    )


def _when(run: RunFacts) -> str:
    return run.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
