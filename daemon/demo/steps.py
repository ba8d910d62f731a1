"""The demo as one watches it: numbered steps, each with what happens in it and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from daemon.cli.figures import duration, rate, size

_PLAIN_EVERY_S: Final = 5.0
_RATE_AFTER_S: Final = 0.5
"""Before that, a rate is mostly noise."""
_WORTH_TELLING_S: Final = 0.1
_BAR_COLUMNS: Final = 30
_INDENT: Final = 8


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """A step that came to its end, well or not."""

    title: str
    passed: bool
    outcome: str
    elapsed_s: float


class Step:
    """A step under way."""

    def __init__(self, tell: Callable[[str, float | None], None]) -> None:
        self._tell = tell
        self._began = time.monotonic()
        self.passed = True
        self.outcome = ""
        """To be set before the step ends: what came of it, in a few words."""

    def fail(self, outcome: str) -> None:
        """The step comes to its end, but not to the one that was hoped for."""
        self.passed = False
        self.outcome = outcome

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """How far it is.  May be told as often as one likes."""
        part = min(done_bytes / total_bytes, 1.0) if total_bytes else None
        self._tell(describe(done_bytes, total_bytes, time.monotonic() - self._began), part)

    def show(self, what: str, part: float | None = None) -> None:
        """What happens now, in a few words, and which part of the step is done; None when nobody knows."""
        self._tell(what, part)


def describe(done_bytes: int, total_bytes: int, elapsed_s: float) -> str:
    """`12.0 MiB of 57.2 MiB, 24.0 MiB/s, 1.9 s left`; pure."""
    parts = [f"{size(done_bytes)} of {size(total_bytes)}"]
    if elapsed_s >= _RATE_AFTER_S and done_bytes:
        per_s = done_bytes / elapsed_s
        parts.append(rate(per_s))
        if (left_s := (total_bytes - done_bytes) / per_s) >= _WORTH_TELLING_S:
            parts.append(f"{duration(left_s)} left")
    return ", ".join(parts)


class Steps:
    """Shows steps on a console: live where somebody watches, else as plain lines; nowhere without a console."""

    def __init__(self, console: Console | None, *, live: bool, count: int) -> None:
        self._console = console or Console(quiet=True)
        self._live = live and console is not None
        self._count = count
        self.results: list[StepResult] = []

    @contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """The next step.  One that ends by an exception is shown as failed, and the exception passes on."""
        number = f"[{len(self.results) + 1}/{self._count}]"
        began = time.monotonic()
        try:
            with self._watched(number, title) as step:
                yield step
        except asyncio.CancelledError:
            self._end(number, title, "stopped", passed=False)
            raise
        except BaseException:
            self._end(number, title, "failed", passed=False)
            raise
        elapsed_s = round(time.monotonic() - began, 3)
        self.results.append(StepResult(title=title, passed=step.passed, outcome=step.outcome, elapsed_s=elapsed_s))
        self._end(number, title, duration(elapsed_s), passed=step.passed)
        if step.outcome:
            _tell(self._console, step.outcome)

    def _end(self, number: str, title: str, how: str, *, passed: bool) -> None:
        mark = ("✓", "green") if passed else ("✗", "bold red")
        self._console.print(Text.assemble(mark, f" {number} {title}  ", (how, "dim")))

    @contextmanager
    def _watched(self, number: str, title: str) -> Iterator[Step]:
        if not self._live:
            self._console.print(Text(f"  {number} {title} …"))
            yield Step(self._plain_teller())
            return
        drawing = _Drawing(f"{number} {title}")
        # Transient: the finished step's line takes its place.
        with Live(console=self._console, get_renderable=drawing.draw, refresh_per_second=8, transient=True):
            yield Step(drawing.take)

    def _plain_teller(self) -> Callable[[str, float | None], None]:
        told_at = time.monotonic()

        def tell(what: str, _: float | None) -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= _PLAIN_EVERY_S:
                told_at = time.monotonic()
                _tell(self._console, what)

        return tell


class _Drawing:
    """The step under way on a terminal: its title, and below how far it is."""

    def __init__(self, title: str) -> None:
        self._spinner = Spinner("dots", text=Text(title))
        self._what = ""
        self._part: float | None = None

    def take(self, what: str, part: float | None) -> None:
        self._what, self._part = what, part

    def draw(self) -> Group:
        if not self._what:
            return Group(self._spinner)
        line = Table.grid(padding=(0, 1, 0, 0))
        what = Text(self._what, style="dim", no_wrap=True, overflow="ellipsis")
        if self._part is None:
            line.add_row(what)
        else:
            line.add_row(ProgressBar(total=1.0, completed=self._part, width=_BAR_COLUMNS), what)
        return Group(self._spinner, Padding(line, (0, 0, 0, _INDENT)))


def _tell(console: Console, lines: str) -> None:
    for line in lines.splitlines():
        if console.is_terminal:  # where a long line is broken, and its rest stands below its beginning
            console.print(Padding(Text(line, style="dim"), (0, 0, 0, _INDENT), expand=False))
        else:
            console.print(Text(" " * _INDENT + line))
