"""What is known of a run under way, put into words: a pure state that is fed records, progress and the time."""

from __future__ import annotations

from collections import deque
from typing import Final

from contracts.records import AnyRun, RunKind, RunState
from contracts.reports import Progress
from daemon.cli.figures import duration, rate, size
from daemon.cli.plain_text import visible

_WINDOW_S: Final = 15.0
"""Speed is that of the last seconds: long enough to be calm, short enough to notice a stall."""
_SILENT_AFTER_S: Final = 10.0
_FIRST_SPEED_S: Final = 0.5
_FIRST_GUESS_S: Final = 3.0
"""The first artifact is often a small one, whose speed says nothing about the rest."""
_MOVING: Final = frozenset({"dumping", "restoring"})


class RunPicture:
    """One run.  All times are of one monotonic clock."""

    def __init__(self, kind: RunKind, now_s: float) -> None:
        self.kind = kind
        self.record: AnyRun | None = None
        self.progress: Progress | None = None
        self.done: list[str] = []
        """Artifacts that are through, in order."""
        self.trouble = ""
        """Why nothing new can be learned at the moment; empty when all is well."""
        self._heard_s = self._began_s = now_s
        self._points: deque[tuple[float, int]] = deque()

    def take_record(self, record: AnyRun) -> None:
        self.record = record
        self.trouble = ""

    def take_progress(self, progress: Progress, now_s: float) -> None:
        """The newest line; a line of an attempt that was given up is behind us."""
        before = self.progress
        if before is not None and progress.attempt < before.attempt:
            return
        if before is None or progress.attempt > before.attempt:
            self.done.clear()
            self._points.clear()
        elif _is_through(before, progress):
            self.done.append(before.artifact)
        self.progress = progress
        self._heard_s = now_s
        self._points.append((now_s, progress.plain_bytes))
        while len(self._points) > 2 and now_s - self._points[0][0] > _WINDOW_S:
            self._points.popleft()

    @property
    def fraction(self) -> float | None:
        """How much is done, from 0 to 1; None when nobody knows.  Where the estimate was too small it stays at 99 %."""
        progress = self.progress
        if progress is None or not progress.estimate_bytes:
            return None
        if progress.phase == "finishing":
            return 0.99
        return min(progress.plain_bytes / progress.estimate_bytes, 0.99)

    @property
    def bytes_per_s(self) -> float | None:
        """Native bytes a second; None before there is something to go by."""
        if self._seen_s < _FIRST_SPEED_S:
            return None
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        return (last - first) / (last_s - first_s)

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest will take at this speed; None when that cannot be said."""
        progress, speed = self.progress, self.bytes_per_s
        if progress is None or not speed or self._seen_s < _FIRST_GUESS_S or progress.phase not in _MOVING:
            return None
        rest = progress.estimate_bytes - progress.plain_bytes
        return rest / speed if rest > 0 else None

    def headline(self) -> str:
        """Such as `Backing up acme/orders on db1`."""
        if self.record is None:
            return "Backing up" if self.kind is RunKind.BACKUP else "Restoring"
        target = getattr(self.record, "target", None)
        if target is None:
            return f"Backing up {self.record.project}/{self.record.service} on {self.record.node}"
        return f"Restoring {self.record.project}/{self.record.service} to {target.project}/{target.service} on {target.node}"

    def step(self) -> str:
        """Such as `dumping orders (2 of 3)`."""
        if self.record is not None and self.record.state is RunState.REQUESTED:
            return f"waiting for the agent on {self.record.node} to take it up"
        progress = self.progress
        if progress is None:
            return "started"
        if not progress.artifact or progress.phase not in _MOVING:
            return visible(progress.phase)
        return f"{progress.phase} {visible(progress.artifact)} ({progress.artifact_index} of {progress.artifact_count})"

    def amounts(self) -> list[str]:
        """Such as `1.21 GiB of about 2.80 GiB`, `204 MiB stored`, `84.1 MiB/s`, `19 s left`: what is known of it."""
        progress = self.progress
        if progress is None or not (progress.plain_bytes or progress.stored_bytes):
            return []
        total = f" of about {size(progress.estimate_bytes)}" if progress.estimate_bytes > progress.plain_bytes else ""
        moved = "stored" if self.kind is RunKind.BACKUP else "fetched"
        parts = [f"{size(progress.plain_bytes)}{total}", f"{size(progress.stored_bytes)} {moved}"]
        if (speed := self.bytes_per_s) is not None and progress.phase != "finishing":
            parts.append(rate(speed))
        if (left := self.left_s) is not None:
            parts.append(f"{round(left) or 1} s left" if left < 60 else f"{duration(left)} left")
        return parts

    @property
    def _seen_s(self) -> float:
        """How long the run was watched for its speed."""
        return self._points[-1][0] - self._points[0][0] if self._points else 0.0

    def elapsed_s(self, now_s: float) -> float:
        return now_s - self._began_s

    def worry(self, now_s: float) -> str:
        """What an operator should know that is not as it should be; empty when all is well."""
        if self.trouble:
            return self.trouble
        silent_s = now_s - self._heard_s
        running = self.record is not None and self.record.state is RunState.RUNNING
        if running and silent_s > _SILENT_AFTER_S:
            return f"nothing heard of it for {duration(silent_s)}"
        return ""


def _is_through(before: Progress, progress: Progress) -> bool:
    """Whether the artifact of the former line is behind the run now."""
    if not before.artifact or before.phase == "finishing":
        return False
    return progress.artifact_index > before.artifact_index or progress.phase == "finishing"
