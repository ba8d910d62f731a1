"""How a download under way is shown: bars on a terminal, a line for each artifact elsewhere, nothing to programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from contracts.records import ArtifactRecord
from daemon.cli.figures import count, rate, size
from daemon.cli.plain_text import visible
from daemon.cli.terminal import Terminal


class DownloadView(Protocol):
    """Told of one artifact after the other."""

    def begin(self, artifact: ArtifactRecord) -> None: ...

    def heard(self, stored_bytes: int) -> None: ...

    def end(self, artifact: ArtifactRecord) -> None: ...


@contextmanager
def view_of(terminal: Terminal, chosen: Sequence[ArtifactRecord]) -> Iterator[DownloadView]:
    """The view that fits."""
    if not terminal.draws_progress:
        yield _Lines(terminal)
        return
    total = sum(each.stored_bytes for each in chosen)
    terminal.say(f"Downloading {count(len(chosen), 'artifact')}, {size(total)} stored")
    with _progress(terminal) as progress:
        yield _Bars(progress, chosen)


class _Lines:
    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def begin(self, artifact: ArtifactRecord) -> None:
        self._terminal.say(f"downloading {visible(artifact.name)}: {size(artifact.stored_bytes)} stored")

    def heard(self, stored_bytes: int) -> None:
        pass

    def end(self, artifact: ArtifactRecord) -> None:
        pass


class _Bars:
    def __init__(self, progress: Progress, chosen: Sequence[ArtifactRecord]) -> None:
        self._progress = progress
        self._width = min(32, max(len(visible(each.name)) for each in chosen))
        self._task: TaskID | None = None

    def begin(self, artifact: ArtifactRecord) -> None:
        name = visible(artifact.name)
        name = name if len(name) <= self._width else f"{name[: self._width - 1]}…"
        self._task = self._progress.add_task(f"{name:<{self._width}}", total=artifact.stored_bytes)

    def heard(self, stored_bytes: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=stored_bytes)

    def end(self, artifact: ArtifactRecord) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=artifact.stored_bytes)


def _progress(terminal: Terminal) -> Progress:
    return Progress(
        TextColumn("  {task.description}", markup=False),
        BarColumn(bar_width=30, complete_style="busy", finished_style="good"),
        _Amount(""),
        TimeRemainingColumn(compact=True),
        console=terminal.err,
    )


class _Amount(TextColumn):
    """`204 MiB of 1.21 GiB  84.1 MiB/s`, in the same words as everywhere."""

    def render(self, task: Task) -> Text:
        speed = f"  {rate(task.speed)}" if task.speed and not task.finished else ""
        if task.finished:
            return Text(size(task.total or 0))
        return Text(f"{size(task.completed)} of {size(task.total or 0)}{speed}")
