"""`strongroom status`: are we safe?"""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer
from rich.console import Console

from contracts import control
from daemon.cli.command import Call, command
from daemon.cli.status_report import UNKNOWN, report_of
from daemon.cli.status_views import draw_status

_ANSWER_S: Final = 8.0
"""Monitoring systems mostly give a check ten seconds."""


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "status",
        panel="Look",
        error_status=UNKNOWN,
        examples=[
            ("strongroom status", "are we safe? problems first, each with what to do"),
            ("strongroom status --project acme", "is one project?"),
            ("strongroom status --output json | jq -r .summary", "the sentence alone, for a program"),
        ],
    )(status)


async def status(
    call: Call,
    project: Annotated[
        str, typer.Option("--project", metavar="PROJECT", help="Only of this project.", show_default=False)
    ] = "",
) -> None:
    """Are we safe?  In one sentence, then what is not, with what to do about it, then figures and what comes next.

    The exit status is that of a monitoring plugin: 0 all is well, 1 a warning, 2 a problem, 3 unknown, since the coordinator
    was not reached or did not answer.  The first line is the sentence.

    A problem is a service whose newest run failed or was missed, one that is overdue, whose newest backup is suspiciously
    small, or that no agent reaches.  A warning is a service without any backup yet, a silent node, a quota of which less
    than a twentieth is left, and that there is nothing to be backed up."""
    async with call.connect() as client:
        began = time.monotonic()
        overview = await client.ask(control.OVERVIEW, control.OverviewOf(project=project), timeout_s=_ANSWER_S)
        elapsed_s = time.monotonic() - began
        answered = await client.ask(control.STATUS, control.Nothing(), timeout_s=_ANSWER_S)
    report = report_of(overview, answered, project)

    def draw(console: Console) -> None:
        draw_status(console, report, elapsed_s)

    call.terminal.result(report, draw)
    if report.exit_status:
        raise typer.Exit(report.exit_status)
