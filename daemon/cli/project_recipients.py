"""`strongroom project set-recipients`: who can open new backups of a project."""

from __future__ import annotations

from typing import Annotated

import typer

from contracts import control
from contracts.custody import CustodyKind
from daemon.cli.arguments import ProjectArgument
from daemon.cli.command import Call, command
from daemon.cli.project_views import draw_project

CustodyOption = Annotated[
    CustodyKind,
    typer.Option("--custody", help="Who holds the identity that opens its backups: the coordinator, or you alone."),
]
RecipientOption = Annotated[
    list[str] | None,
    typer.Option(
        "--recipient",
        metavar="AGE1…",
        help="With customer custody: the age recipient of an identity that you hold. May be repeated.",
        show_default=False,
    ),
]


def add_to(projects: typer.Typer) -> None:
    """As a command of `strongroom project`."""
    command(
        projects,
        "set-recipients",
        examples=[
            ("strongroom project set-recipients acme --add age1…", "new backups open with that identity too"),
            ("strongroom project set-recipients acme --remove age1…", "new backups no longer open with it"),
        ],
    )(set_recipients)


async def set_recipients(
    call: Call,
    project: ProjectArgument,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="AGE1…", help="A further age recipient. May be repeated.", show_default=False),
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", metavar="AGE1…", help="A recipient to leave out. May be repeated.", show_default=False),
    ] = None,
) -> None:
    """Change whose identities open new backups of a project.

    Backups that exist keep the recipients they were made for: a recipient that is added does not open them, one that is
    removed still does."""
    request = control.ProjectSetRecipients(project=project, add=add or [], remove=remove or [], actor=call.actor)
    async with call.connect() as client:
        record = await client.ask(control.PROJECT_SET_RECIPIENTS, request)
    call.terminal.result(record, lambda console: draw_project(console, record, "Changed project "))
    call.terminal.say("This counts for backups from now on; those that exist open for whom they were made.")
