"""`strongroom logs`: what agents log while they work, by project, service or run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from contracts import control
from contracts.errors import InvalidInput, NotFound
from contracts.wire import utc_now
from daemon.cli.client import run_record
from daemon.cli.command import Call, command
from daemon.cli.events import parse_since
from daemon.cli.log_views import draw_line
from daemon.cli.references import LATEST, RunRef, parse_run_ref, parse_scope
from daemon.filters import LogFilter
from daemon.news import Numbered, RunNews

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

_NEWEST: Final = 200
_BEFORE_FOLLOWING: Final = 10
_RUN_PARTS: Final = 3


class LogLevel(StrEnum):
    """The least important first."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    def covers(self, level: str) -> bool:
        """Whether a line of that level is as important; one of a level that nobody knows is."""
        levels = list(LogLevel)
        return level not in levels or levels.index(LogLevel(level)) >= levels.index(self)


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "logs",
        panel="Look",
        examples=[
            ("strongroom logs acme/orders/latest", "of the newest run of a service, or the one under way"),
            ("strongroom logs -f acme/orders", "what its agents log from now on"),
            ("strongroom logs acme/orders/20261122T000512Z-k7xq -f", "of one run, until it ends"),
            ("strongroom logs --since 24h --level warning", "what was odd anywhere, of the last day"),
            ("strongroom logs acme --limit 1000 --output ndjson | jq .event", "the newest 1,000 lines, for a program"),
        ],
    )(logs)


async def logs(
    call: Call,
    scope: Annotated[
        str,
        typer.Argument(
            metavar="PROJECT[/SERVICE[/RUN]]",
            help="Only of this project, service, or backup or restore; `latest` is the newest run.",
            show_default=False,
        ),
    ] = "",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is logged; of a run, until it ends.", show_default=False)
    ] = False,
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="AGE|TIME", help="An age such as 90m, 24h, 7d, or a time in UTC.", show_default=False
        ),
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            metavar="N",
            min=1,
            max=10_000,
            help=f"The newest N; without it and --since, {_NEWEST}, or {_BEFORE_FOLLOWING} with --follow, or all of a run.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        LogLevel,
        typer.Option("--level", metavar="LEVEL", help=f"Only as important as this: {', '.join(LogLevel)}."),
    ] = LogLevel.DEBUG,
) -> None:
    """Print what agents logged while they worked, oldest first; for programs one JSON object a line.

    Lines are kept for 30 days, at most 1 GiB of them."""
    if since and limit is not None:
        raise InvalidInput("input.invalid", "either --since or --limit says where to begin, not both", field="limit")
    run, (project, service) = _parse(scope)
    start = parse_since(since, utc_now()) if since else None
    seen = 0
    async with call.connect() as client:
        if run is not None:
            run = await _newest(client, run) if run.id == LATEST else run
        if run is not None and follow and not since and limit is None:
            found: AsyncGenerator[RunNews, None] = client.run_news(run)
        else:
            wanted = LogFilter(project=project, service=service, run_id=run.id if run else "")
            last = limit if start is not None or limit is not None or run is not None else _newest_lines(follow=follow)
            found = client.log_lines(wanted, since=start, last=last, follow=follow)
        async with aclosing(found):
            async for news in found:
                if not isinstance(news, Numbered) or not level.covers(news.value.level):
                    continue
                seen += 1
                if call.terminal.as_json:
                    call.terminal.line(news.value)
                else:
                    draw_line(call.terminal.out, news.value, with_run=run is None)
        if not seen and run is not None:
            await run_record(client, run)  # a run that does not exist is another thing than one without lines
    if not seen:
        call.terminal.say("Nothing was logged there; agents log while they back up and restore, and lines are kept 30 days.")


def _newest_lines(*, follow: bool) -> int:
    return _BEFORE_FOLLOWING if follow else _NEWEST


def _parse(scope: str) -> tuple[RunRef | None, tuple[str, str]]:
    """The run, if one is named, and project and service."""
    if len(scope.split("/")) == _RUN_PARTS:
        run = parse_run_ref(scope, "run")
        return run, (run.project, run.service)
    return None, parse_scope(scope)


async def _newest(client: ControlClient, run: RunRef) -> RunRef:
    """The run under way, or the newest that has ended.  Raises: NotFound."""
    view = await client.ask(control.SERVICE_SHOW, control.ServiceRef(project=run.project, service=run.service))
    run_id = view.active or (view.last_run.id if view.last_run else "")
    if not run_id:
        raise NotFound("backup.not_found", f"{run.project}/{run.service} has not been backed up yet", field="run")
    return run._replace(id=run_id)
