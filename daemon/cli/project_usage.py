"""`strongroom project usage`: what a project stores, and whether the bucket agrees with the records."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts import control
from contracts.errors import Corrupt
from daemon.cli.arguments import ProjectArgument
from daemon.cli.command import Call, command
from daemon.cli.figures import count
from daemon.cli.usage_views import draw_usage

_CHECK_S = 600.0
"""Of a million objects."""


def add_to(projects: typer.Typer) -> None:
    command(
        projects,
        "usage",
        examples=[
            ("strongroom project usage acme", "how much of the quota is taken, and by which services"),
            ("strongroom project usage acme --check", "every object in the bucket is counted too"),
            ("strongroom project usage acme --check --json | jq .check", "where they differ, for a program"),
        ],
    )(usage)


async def usage(
    call: Call,
    project: ProjectArgument,
    check: Annotated[
        bool, typer.Option("--check", help="Hold the records against the bucket, object by object.", show_default=False)
    ] = False,
) -> None:
    """Show what a project stores and what it may store.

    With --check, it ends with status 8 when bucket and records disagree."""
    async with call.connect() as client:
        request = control.ProjectUsage(project=project, check=check)
        answer = await client.ask(control.PROJECT_USAGE, request, timeout_s=_CHECK_S)
    call.terminal.result(answer, lambda console: draw_usage(console, answer))
    if answer.check is not None and not answer.check.is_exact:
        differences = answer.check.differences
        first = differences[0]
        raise Corrupt(
            "store.missing",
            f"bucket and records of project {project} disagree in {count(len(differences), 'place')}; "
            f"the first is {first.prefix}: {first.problem}",
        )
