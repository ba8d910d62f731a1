"""Events as lines."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from contracts.events import Event
from daemon.cli.figures import duration, size, stamp, when
from daemon.cli.plain_text import visible
from daemon.cli.terminal import print_line

_STYLES: Final = {
    "completed": "good",
    "resumed": "good",
    "undeleted": "good",
    "failed": "bad",
    "missed": "bad",
    "refused": "bad",
    "silent": "bad",
    "cancelled": "odd",
    "deleted": "odd",
    "frozen": "odd",
    "purged": "odd",
    "retried": "odd",
    "skipped": "odd",
}


def draw_event(console: Console, event: Event) -> None:
    """On one line, however long it is."""
    print_line(console, event_line(event))


def event_line(event: Event) -> Text:
    """When, what, about what, and what is known of it."""
    verb = event.type.partition(".")[2]
    line = Text.assemble((stamp(event.at), "quiet"), "  ", (f"{event.type:<18}", _STYLES.get(verb, "")), "  ")
    line.append(visible(_subject(event)), style="name")
    if facts := _facts(event):
        line.append(f"  {visible(', '.join(facts))}", style="quiet")
    if event.error is not None:
        line.append(f"  {event.error.code}: {visible(event.error.message)}", style="bad")
    return line


def _subject(event: Event) -> str:
    """What it is about, as commands take it."""
    if not event.project:
        return event.node or ""
    run_id = event.restore_id or event.backup_id
    return "/".join(part for part in (event.project, event.service, run_id) if part)


def _facts(event: Event) -> list[str]:
    facts = [
        f"on {event.node}" if event.node and event.project else "",
        f"of backup {event.backup_id}" if event.restore_id else "",
        f"attempt {event.attempt}" if event.attempt and event.attempt > 1 else "",
        _amount(event),
        f"took {duration(event.elapsed_s)}" if event.elapsed_s is not None else "",
        f"{len(event.warnings)} warnings" if event.warnings else "",
        event.reason or "",
        f"by {event.actor}" if event.actor else "",
    ]
    facts += [f"{name.replace('_', ' ')} {_value(v)}" for name, v in (event.facts or {}).items() if v not in ([], "", None)]
    return [fact for fact in facts if fact]


def _value(value: object) -> str:
    """Times as all others are told."""
    if isinstance(value, list):
        return " ".join(value)
    try:
        return when(datetime.fromisoformat(value)) if isinstance(value, str) else str(value)
    except ValueError:
        return str(value)


def _amount(event: Event) -> str:
    if not event.size_bytes:
        return ""
    return f"{size(event.plain_bytes)} in {size(event.size_bytes)}" if event.plain_bytes else size(event.size_bytes)
