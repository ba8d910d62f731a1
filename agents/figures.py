"""What an agent knows of its own work: totals and the last of each service, kept whether or not anybody asks.

Plain numbers, so that an agent without `[metrics]` pays nothing for them; `agents.metrics` makes Prometheus text of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from agents.datapath.meter import TransferMeter
from agents.progress import RunProgress
from contracts.errors import StrongroomError
from contracts.records import RunKind

COMPLETED: Final = "completed"
FAILED: Final = "failed"
DROPPED: Final = "dropped"
"""Given up without a word: the coordinator had ended it or given it to another, or the agent was told to stop."""
OUTCOMES: Final = (COMPLETED, FAILED, DROPPED)


@dataclass(slots=True)
class Last:
    """The last run that ended, of those that were not dropped."""

    completed: bool
    ended_at_s: float
    """Unix time."""
    elapsed_s: float


@dataclass(slots=True)
class Work:
    """All backups, or all restores, of one service since this agent began."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    last: Last | None = None
    last_completed_at_s: float | None = None
    ended: TransferMeter = field(default_factory=TransferMeter)
    """The sums of runs that have ended."""
    running: list[RunProgress] = field(default_factory=list)

    @property
    def moved(self) -> TransferMeter:
        """The sums of all runs, those under way included."""
        total = TransferMeter()
        _add(total, self.ended)
        for progress in self.running:
            for meter in progress.meters:
                _add(total, meter)
        return total


class Figures:
    """By kind of run and `project/service`."""

    def __init__(self, *, now_s: Callable[[], float] = time.time, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._clock_s = clock_s
        self.works: dict[tuple[RunKind, str], Work] = {}

    @contextmanager
    def run(self, kind: RunKind, service: str, progress: RunProgress) -> Iterator[None]:
        """A run lasts as long as the block, and ends as the block ends."""
        work = self.works.setdefault((kind, service), Work())
        work.running.append(progress)
        began_s = self._clock_s()
        outcome = DROPPED
        try:
            yield
            outcome = COMPLETED
        except StrongroomError as exc:
            outcome = DROPPED if exc.code == "run.not_current" else FAILED
            raise
        except Exception:
            outcome = FAILED
            raise
        finally:
            self._end(work, progress, outcome, self._clock_s() - began_s)

    def _end(self, work: Work, progress: RunProgress, outcome: str, elapsed_s: float) -> None:
        for meter in progress.meters:
            _add(work.ended, meter)
        # By identity: two runs that have moved nothing yet are equal.
        work.running = [each for each in work.running if each is not progress]
        work.counts[outcome] += 1
        if outcome == DROPPED:
            return
        work.last = Last(completed=outcome == COMPLETED, ended_at_s=self._now_s(), elapsed_s=elapsed_s)
        if outcome == COMPLETED:
            work.last_completed_at_s = work.last.ended_at_s


def _add(total: TransferMeter, more: TransferMeter) -> None:
    total.plain_bytes += more.plain_bytes
    total.compressed_bytes += more.compressed_bytes
    total.stored_bytes += more.stored_bytes
    total.parts += more.parts
    total.spooled_parts += more.spooled_parts
    total.retries += more.retries
