"""`strongroom events`: the audit log, as it is and as it grows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from contracts.errors import InvalidInput
from contracts.events import EVENT_TYPES
from contracts.wire import utc_now
from daemon.cli.arguments import ScopeArgument
from daemon.cli.command import Call, command
from daemon.cli.event_views import draw_event
from daemon.cli.figures import stamp
from daemon.cli.references import parse_scope
from daemon.filters import EventFilter, check_event_type

_AUDIT: Final = "access"
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_AGE: Final = re.compile(r"([0-9]{1,6})([smhdw])")


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "events",
        panel="Look",
        examples=[
            ("strongroom events", "of the last day"),
            ("strongroom events acme/orders --since 30d", "of one service, of the last month"),
            ("strongroom events --type backup.failed --type backup.missed --since 7d", "what went wrong this week"),
            ("strongroom events --audit --type access --since 7d", "who asked for changes, and who was refused"),
            (
                "strongroom events --follow --output ndjson | jq 'select(.type == \"backup.failed\")'",
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
        list[str] | None,
        typer.Option(
            "--type",
            metavar="TYPE",
            help="Such as backup.failed, or backup for all of them. May be repeated.",
            show_default=False,
        ),
    ] = None,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit", help="Also who asked for what, over which way, and what came of it (access.*).", show_default=False
        ),
    ] = False,
) -> None:
    """Print what happened, oldest first; for programs one JSON object a line."""
    project, service = parse_scope(scope)
    start = parse_since(since, utc_now())
    for name in type_ or []:
        check_event_type(name, "type")
    wanted = EventFilter(project=project, service=service, types=chosen_types(type_ or [], audit=audit))
    wanted.subjects()  # what is wrong on the line is told without a coordinator
    async with call.connect() as client, aclosing(client.events(wanted, since=start, follow=follow)) as found:
        seen = 0
        async for each in found:
            seen += 1
            if call.terminal.as_json:
                call.terminal.line(each.value)
            else:
                draw_event(call.terminal.out, each.value)
    if not seen:
        call.terminal.say(f"Nothing happened since {stamp(start)} UTC; --since looks further back.")


def chosen_types(types: Sequence[str], *, audit: bool) -> tuple[str, ...]:
    """What to look for: the types that were named, or all but those that only say who was let in."""
    if types:
        return (*types, _AUDIT) if audit else tuple(types)
    if audit:
        return ()
    return tuple(sorted({name.partition(".")[0] for name in EVENT_TYPES} - {_AUDIT}))


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
