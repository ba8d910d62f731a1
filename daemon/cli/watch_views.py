"""How `strongroom watch` is shown: a screen that is drawn anew, lines in a pipe, documents to programs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from contracts.control import Overview
from contracts.events import Event
from contracts.records import RunKind
from contracts.reports import Progress
from contracts.wire import utc_now
from daemon.cli.event_views import draw_event, event_line
from daemon.cli.figures import count, duration
from daemon.cli.plain_text import visible
from daemon.cli.references import RunRef
from daemon.cli.run_picture import RunPicture
from daemon.cli.standing_views import LEVEL_STYLES, MARKS
from daemon.cli.status_report import concerns, level_of, sentence
from daemon.cli.terminal import Terminal, print_line
from daemon.cli.watch_picture import WatchPicture

_LINE_EVERY_S: Final = 10.0
_BAR_COLUMNS: Final = 24
_CONCERNS: Final = 5
_LEAST_EVENTS: Final = 3


class WatchView(Protocol):
    """Told of what is new; `show` is called several times a second in any case."""

    def show(self, picture: WatchPicture) -> None: ...

    def tell_overview(self, picture: WatchPicture) -> None: ...

    def tell_event(self, event: Event) -> None: ...

    def tell_progress(self, progress: Progress) -> None: ...


@contextmanager
def view_of(terminal: Terminal) -> Iterator[WatchView]:
    """The view that fits; on leaving, the terminal is as it was before."""
    if terminal.as_json:
        yield _Documents(terminal)
    elif terminal.out.is_terminal:
        # No thread of its own: the picture is only looked at between two steps of the event loop.
        with Live(
            console=terminal.out, auto_refresh=False, screen=True, redirect_stdout=False, redirect_stderr=False
        ) as live:
            yield _Screen(live)
    else:
        yield _Lines(terminal.out)


def standing_line(picture: WatchPicture) -> Text:
    """The sentence about all that is watched."""
    if picture.service:
        if picture.view is None:
            return Text(f"Asking about {picture.project}/{picture.service} …", style="quiet")
        standing = picture.view.standing
        words = "; ".join(cause.message for cause in standing.causes) or "all is well"
        mark = f"{MARKS[standing.level]} {picture.project}/{picture.service}: {visible(words)}"
        return Text(mark, style=LEVEL_STYLES[standing.level])
    if picture.overview is None:
        return Text("Asking the coordinator …", style="quiet")
    level = level_of(picture.overview)
    return Text(f"{MARKS[level]} {visible(sentence(picture.overview, picture.project))}", style=LEVEL_STYLES[level])


class _Documents:
    """One JSON object a line, told apart by the name of its only field."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._last = ""

    def show(self, picture: WatchPicture) -> None:
        pass

    def tell_overview(self, picture: WatchPicture) -> None:
        if (summary := standing_line(picture).plain) != self._last:
            self._last = summary
            self._terminal.line({"overview": picture.overview} if picture.view is None else {"service": picture.view})

    def tell_event(self, event: Event) -> None:
        self._terminal.line({"event": event})

    def tell_progress(self, progress: Progress) -> None:
        self._terminal.line({"progress": progress})


class _Lines:
    """How everything stands whenever that changes, what happens, and now and then how far runs are."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._standing = ""
        self._told: dict[RunRef, tuple[str, float]] = {}

    def show(self, picture: WatchPicture) -> None:
        now_s = time.monotonic()
        for ref, run in picture.runs.items():
            step, next_s = self._told.get(ref, ("", 0.0))
            if run.record is None or (run.step() == step and now_s < next_s):
                continue
            self._told[ref] = (run.step(), now_s + _LINE_EVERY_S)
            words = ", ".join([run.step(), *run.amounts()])
            self._print(Text(f"{'backup' if run.kind is RunKind.BACKUP else 'restore'} {ref}: {visible(words)}"))
        self._told = {ref: told for ref, told in self._told.items() if ref in picture.runs}

    def tell_overview(self, picture: WatchPicture) -> None:
        line = standing_line(picture)
        if line.plain != self._standing:
            self._standing = line.plain
            self._print(line)

    def tell_event(self, event: Event) -> None:
        draw_event(self._console, event)

    def tell_progress(self, progress: Progress) -> None:
        pass

    def _print(self, line: Text) -> None:
        print_line(self._console, Text.assemble((f"{utc_now():%Y-%m-%d %H:%M:%S}", "quiet"), "  ", line))


class _Screen:
    def __init__(self, live: Live) -> None:
        self._live = live

    def show(self, picture: WatchPicture) -> None:
        self._live.update(screen(picture, self._live.console, time.monotonic()), refresh=True)

    def tell_overview(self, picture: WatchPicture) -> None:
        pass

    def tell_event(self, event: Event) -> None:
        pass

    def tell_progress(self, progress: Progress) -> None:
        pass


def screen(picture: WatchPicture, console: Console, now_s: float) -> Group:
    """As many lines as the console has: how all stands, what runs, and as many events as there is room for."""
    scope = "/".join(name for name in (picture.project, picture.service) if name) or "everything"
    head = Text.assemble(("Strongroom", "head"), f"  {scope}  ", (f"{utc_now():%Y-%m-%d %H:%M:%S} UTC", "quiet"))
    lines: list[RenderableType] = [head, standing_line(picture)]
    if picture.trouble:
        lines.append(Text(f"  {visible(picture.trouble)}", style="odd"))
    if picture.overview is not None and not picture.service:
        lines += _concern_lines(picture.overview)
    lines += [
        Text(),
        Text(f"Running: {count(picture.running, 'run')}" if picture.running else "Running: nothing", style="head"),
    ]
    room = console.height - len(lines) - _LEAST_EVENTS - 3
    shown = list(picture.runs.items())[: max(1, room // 2)]
    for ref, run in shown:
        lines += _run_lines(ref, run, now_s)
    if picture.running > len(shown):
        lines.append(Text(f"  and {picture.running - len(shown)} more", style="quiet"))
    lines += [Text(), Text("Events", style="head")]
    room = max(_LEAST_EVENTS, console.height - len(lines) - 1)
    events = list(picture.events)[-room:]
    lines += [Text("  ").append_text(event_line(event)) for event in reversed(events)] or [
        Text("  nothing yet", style="quiet")
    ]
    lines = [_one_line(line) if isinstance(line, Text) else line for line in lines]
    # The screen ends where the terminal does; what matters most stands above.
    last = Text("Ctrl-C ends this; everything goes on.", style="quiet")
    return Group(*lines[: console.height - 1], *([last] if len(lines) < console.height else []))


def _concern_lines(overview: Overview) -> Iterator[Text]:
    found, left_out = concerns(overview, _CONCERNS)
    for concern in found:
        mark = (f"  {MARKS[concern.level]} ", LEVEL_STYLES[concern.level])
        yield Text.assemble(mark, (", ".join(concern.names), "name"), f"  {visible('; '.join(concern.sentences))}")
    if left_out:
        yield Text(f"  and {count(left_out, 'more service')}", style="quiet")


def _run_lines(ref: RunRef, run: RunPicture, now_s: float) -> list[RenderableType]:
    kind = "" if run.kind is RunKind.BACKUP else "restore of "
    on = f" on {run.record.node}" if run.record is not None else ""
    line = Text.assemble("  ", (f"{kind}{ref.project}/{ref.service}", "name"), f"{on}  ", (ref.id, "quiet"))
    # What is not as it should be comes first: a line that is too long ends early.
    worry = visible(run.worry(now_s))
    facts = [*([worry] if worry else []), run.step(), *run.amounts(), f"{duration(run.elapsed_s(now_s))} watched"]
    fraction = run.fraction
    if run.progress is None or fraction is None:
        return [line, Text(f"    {' · '.join(facts)}", style="quiet")]
    bar = ProgressBar(total=1.0, completed=fraction, width=_BAR_COLUMNS, complete_style="busy", finished_style="good")
    row = Table.grid(padding=(0, 1, 0, 0), expand=True)
    row.add_column(width=_BAR_COLUMNS)
    row.add_column(width=4, justify="right")
    row.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    row.add_row(bar, f"{fraction:.0%}", Text(" · ".join(facts), style="quiet"))
    return [line, Padding(row, (0, 0, 0, 4))]


def _one_line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
