"""Schedules, due times and what became of them, as people see them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from contracts.control import DueTimes
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekly
from contracts.policy.success import DueFigures
from contracts.records import DueRecord
from contracts.wire import utc_now
from daemon.cli.figures import count, percent, stamp
from daemon.cli.tables import Column, print_facts, print_table
from daemon.cli.words import coming, due_state

_LAST_DAY_OF_SOME = 29
_LAST_DAY_OF_ALL = 31


def schedule_words(schedule: Schedule, *, is_default: bool = False) -> str:
    """When that is, such as `every Sunday at 03:30 UTC`."""
    return f"{_words(schedule)} (the default: a moment of its own)" if is_default else _words(schedule)


def success_words(figures: DueFigures) -> Text:
    """Such as `29 of 30 due (97 %) in the last 30 days: 1 missed`."""
    stretch = f"in the last {count(round((utc_now() - figures.since).total_seconds() / 86_400), 'day')}"
    if not figures.due:
        return Text(f"nothing was due {stretch}")
    rest = [
        f"{number} {name}"
        for name, number in (
            ("failed", figures.failed),
            ("missed", figures.missed),
            ("skipped", figures.skipped),
            ("cancelled", figures.cancelled),
        )
        if number
    ]
    line = f"{figures.completed} of {figures.due} due ({percent(figures.completed, figures.due)}) {stretch}"
    style = "good" if figures.completed == figures.due else "bad" if figures.failed or figures.missed else "odd"
    return Text(f"{line}: {', '.join(rest)}" if rest else line, style=style)


def draw_dues(console: Console, service: str, dues: DueTimes) -> None:
    """A service's schedule, its next due times, and the entries of its ledger."""
    console.print(Text.assemble("Service ", (service, "name")))
    print_facts(
        console,
        [
            ("schedule", schedule_words(dues.schedule, is_default=dues.is_default)),
            ("success", success_words(dues.figures)),
            ("next due", next_lines(dues)),
        ],
    )
    if dues.past:
        console.print()
        _draw_past(console, dues.past)


def next_lines(dues: DueTimes) -> Text:
    """The next due times, a line each."""
    now = utc_now()
    return Text("\n").join(coming(at, now) for at in dues.next)


def _draw_past(console: Console, entries: Sequence[DueRecord]) -> None:
    print_table(
        console,
        [Column("DUE (UTC)"), Column("STATE"), Column("RUN", rank=2), Column("REASON", rank=1, fold=True)],
        [
            (
                stamp(entry.due_at),
                due_state(entry.state),
                # A time that was skipped, or is not decided yet, has led to no run.
                entry.run_id if entry.has_run else "",
                entry.reason,
            )
            for entry in entries
        ],
    )


def _words(schedule: Schedule) -> str:
    match schedule:
        case Off():
            return "off: only people start backups"
        case Daily(at=at):
            return f"daily at {at} UTC"
        case Weekly(day=day, at=at):
            return f"every {day.capitalize()} at {at} UTC"
        case Monthly(day=number, at=at):
            return f"{_day_of_month(number)} at {at} UTC"
        case Cron(expression=expression):
            return f"cron {expression} (UTC)"


def _day_of_month(number: int) -> str:
    if number == _LAST_DAY_OF_ALL:
        return "on the last day of every month"
    shorter = ", or its last," if number >= _LAST_DAY_OF_SOME else ""
    return f"on day {number} of every month{shorter}"
