"""`strongroom events`: the audit log, as it is and as it grows."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.text import Text

from contracts.errors import InvalidInput
from contracts.events import EVENT_TYPES, Event
from contracts.wire import encode, utc_now
from daemon.cli.arguments import ScopeArgument
from daemon.cli.command import Call, command
from daemon.cli.figures import duration, size, stamp, when
from daemon.cli.plain_text import visible
from daemon.cli.references import parse_scope
from daemon.cli.terminal import write

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE: Final = re.compile(r"([0-9]{1,6})([smhdw])")
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


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "events",
        panel="Look",
        examples=[
            ("strongroom events", "of the last day"),
            ("strongroom events acme/orders --since 30d", "of one service, of the last month"),
            (
                "strongroom events --follow --json | jq 'select(.type == \"backup.failed\")'",
                "what fails from now on, for a program",
            ),
        ],
    )(events)


async def events(
    call: Call,
    scope: ScopeArgument = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens.", show_default=False)] = False,
    since: Annotated[
        str, typer.Option("--since", metavar="AGE|TIME", help="An age such as 90m, 24h, 7d, or a time in UTC.")
    ] = "24h",
    type_: Annotated[
        str,
        typer.Option("--type", metavar="TYPE", help="Such as backup.failed, or backup for all of them.", show_default=False),
    ] = "",
) -> None:
    """Print what happened, oldest first; with --json one JSON object a line."""
    from daemon.cli.event_reader import EventReader

    project, service = parse_scope(scope)
    start = parse_since(since, utc_now())
    subject = event_filter(type_, project, service)
    async with call.connect() as client:
        reader = EventReader(client.bus, subject, start)
        seen = 0
        try:
            async for event in reader.following() if follow else reader.stored():
                seen += 1
                if call.terminal.as_json:
                    write(sys.stdout, encode(event).decode())
                else:
                    draw_event(call.terminal.out, event)
        finally:
            await reader.close()
    if not seen:
        call.terminal.say(f"Nothing happened since {stamp(start)} UTC; --since looks further back.")


def event_filter(type_: str, project: str, service: str) -> str:
    """The subject filter of the stream.  Raises: InvalidInput for a type that does not exist."""
    nouns = {name.partition(".")[0] for name in EVENT_TYPES}
    if type_ and type_ not in EVENT_TYPES and type_ not in nouns:
        raise InvalidInput(
            "input.invalid",
            f"there are no events of type {type_!r}; there are {', '.join(sorted(EVENT_TYPES))}",
            field="type",
        )
    middle = type_ if "." in type_ else f"{type_ or '*'}.*"
    return f"strongroom.event.{middle}.{project or '*'}.{service or '*'}"


def parse_since(text: str, now: datetime) -> datetime:
    """`24h` before now, or the time that is written, which is UTC unless it says otherwise.  Raises: InvalidInput."""
    if match := _AGE.fullmatch(text):
        return now - timedelta(seconds=int(match[1]) * _UNITS_S[match[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            "input.invalid",
            f"since {text!r} must be an age such as 90m, 24h or 7d, or a time such as 2026-11-22T00:05",
            field="since",
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def draw_event(console: Console, event: Event) -> None:
    """One line, and a second one for an error's sentence."""
    verb = event.type.partition(".")[2]
    line = Text.assemble((stamp(event.at), "quiet"), "  ", (f"{event.type:<18}", _STYLES.get(verb, "")), "  ")
    line.append(visible(_subject(event)), style="name")
    if facts := _facts(event):
        line.append(f"  {visible(', '.join(facts))}", style="quiet")
    if event.error is not None:
        line.append(f"  {event.error.code}: {visible(event.error.message)}", style="bad")
    console.print(line, soft_wrap=True)


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
