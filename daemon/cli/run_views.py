"""How a run under way is shown: drawn anew on a terminal, as single lines elsewhere, not at all to programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from contracts.wire import utc_now
from daemon.cli.figures import duration
from daemon.cli.plain_text import visible
from daemon.cli.run_picture import RunPicture
from daemon.cli.terminal import Terminal
from daemon.cli.words import run_name

_LINE_EVERY_S: Final = 10.0
_BAR_COLUMNS: Final = 40
_DONE_SHOWN: Final = 5


class RunView(Protocol):
    """Shows a picture; called whenever it changed, and several times a second in any case."""

    def show(self, picture: RunPicture) -> None: ...


@contextmanager
def view_of(terminal: Terminal) -> Iterator[RunView]:
    """The view that fits; on leaving, the terminal is as a person expects it."""
    if terminal.as_json:
        yield _Silence()
    elif terminal.draws_progress:
        # No thread of its own: the picture is only looked at between two steps of the event loop.
        with Live(console=terminal.err, auto_refresh=False, transient=True, redirect_stdout=False) as live:
            yield _Drawing(live)
    else:
        yield _Lines(terminal.err)


class _Silence:
    def show(self, picture: RunPicture) -> None:
        pass


class _Drawing:
    def __init__(self, live: Live) -> None:
        self._live = live
        self._spinner = Spinner("dots", style="busy")

    def show(self, picture: RunPicture) -> None:
        self._live.update(self._draw(picture), refresh=True)

    def _draw(self, picture: RunPicture) -> Group:
        now_s = time.monotonic()
        head = Text.assemble((visible(picture.headline()), "head"))
        if picture.record is not None:
            head.append(f"  {picture.record.id}", style="quiet")
        self._spinner.update(text=head)
        lines: list[RenderableType] = [self._spinner]
        if picture.done:
            more = f"{len(picture.done) - _DONE_SHOWN} more, " if len(picture.done) > _DONE_SHOWN else ""
            names = ", ".join(visible(name) for name in picture.done[-_DONE_SHOWN:])
            lines.append(_one_line(Text.assemble(("  ✓ ", "good"), (f"{more}{names}", "quiet"))))
        lines.append(_one_line(Text(f"  {picture.step()}")))
        fraction = picture.fraction
        if picture.progress is not None:
            lines.append(_bar(fraction, now_s, self._live.console))
        facts = [*picture.amounts(), f"{duration(picture.elapsed_s(now_s))} so far"]
        lines.append(_one_line(Text(f"  {' · '.join(facts)}", style="quiet")))
        if worry := picture.worry(now_s):
            lines.append(_one_line(Text(f"  {visible(worry)}", style="odd")))
        return Group(*lines)


class _Lines:
    """A line for each step, and now and then one in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""
        self._next_s = 0.0

    def show(self, picture: RunPicture) -> None:
        if picture.record is None:
            return
        now_s = time.monotonic()
        worry = picture.worry(now_s)
        step = f"{picture.step()}{' !' if worry else ''}"
        if step == self._last and now_s < self._next_s:
            return
        if not self._last:
            self._print(f"{picture.headline()} ({run_name(picture.record)})")
        self._last = step
        self._next_s = now_s + _LINE_EVERY_S
        amounts = ", ".join(picture.amounts())
        self._print(picture.step() + (f": {amounts}" if amounts else "") + (f"; {worry}" if worry else ""))

    def _print(self, line: str) -> None:
        self._console.print(Text(f"{utc_now():%H:%M:%SZ} {visible(line)}"), soft_wrap=True)


def _bar(fraction: float | None, now_s: float, console: Console) -> Padding:
    width = min(_BAR_COLUMNS, max(10, console.width - 10))
    line = Table.grid(padding=(0, 1, 0, 0))
    if fraction is None:
        line.add_row(ProgressBar(total=None, pulse=True, width=width, animation_time=now_s))
    else:
        bar = ProgressBar(total=1.0, completed=fraction, width=width, complete_style="busy", finished_style="good")
        line.add_row(bar, f"{fraction:.0%}")
    return Padding(line, (0, 0, 0, 2), expand=False)


def _one_line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
