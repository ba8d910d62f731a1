"""`strongroom project`: tenants, each with keys of its own."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.records import ProjectRecord
from contracts.wire import utc_now
from daemon.cli.arguments import ProjectArgument
from daemon.cli.command import Call, command
from daemon.cli.figures import stamp
from daemon.cli.help_pages import Index
from daemon.cli.tables import Column, print_facts, print_table
from daemon.cli.words import moment

projects = typer.Typer(cls=Index, no_args_is_help=True, help="Tenants, each with keys of its own.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(projects, name="project", rich_help_panel="Set up")


@command(
    projects,
    "create",
    examples=[
        ("strongroom project create acme", "a project with a key of its own, held by the coordinator"),
        (
            "strongroom project create acme --recovery-recipient age1…",
            "backups open with that identity too, even if the coordinator and its key are lost",
        ),
    ],
)
async def create(
    call: Call,
    name: ProjectArgument,
    recovery_recipient: Annotated[
        list[str] | None,
        typer.Option(
            "--recovery-recipient",
            metavar="AGE1…",
            help="A further age recipient, such as one whose identity lies in a safe. May be repeated.",
        ),
    ] = None,
) -> None:
    """Create a project."""
    async with call.connect() as client:
        request = control.ProjectCreate(name=name, recovery_recipients=recovery_recipient or [])
        record = await client.ask(control.PROJECT_CREATE, request)
    call.terminal.result(record, lambda console: _draw(console, record, "Created project "))
    if len(record.recipients) < 2:
        call.terminal.say(
            Text(
                "Without a recovery recipient, whoever loses the coordinator's master key loses this project's backups.",
                style="odd",
            )
        )


@command(
    projects,
    "list",
    examples=[("strongroom project list", "all projects"), ("strongroom project list --json", "for a program")],
)
async def list_(call: Call) -> None:
    """List all projects."""
    async with call.connect() as client:
        answer = await client.ask(control.PROJECT_LIST, control.Nothing())

    def draw(console: Console) -> None:
        if not answer.projects:
            call.terminal.say("There are no projects yet: `strongroom project create NAME` makes one.")
            return
        print_table(
            console,
            [Column("PROJECT"), Column("RECIPIENTS", rank=2, align="right"), Column("CREATED (UTC)", rank=1)],
            [(Text(p.name, style="name"), str(len(p.recipients)), stamp(p.created_at)) for p in answer.projects],
        )

    call.terminal.result(answer, draw)


@command(projects, "show", examples=[("strongroom project show acme", "its keys")])
async def show(call: Call, project: ProjectArgument) -> None:
    """Show a project and what its backups are encrypted to."""
    async with call.connect() as client:
        record = await client.ask(control.PROJECT_SHOW, control.ProjectRef(project=project))
    call.terminal.result(record, lambda console: _draw(console, record, "Project "))


@command(projects, "delete", examples=[("strongroom project delete acme", "a project without services")])
async def delete(call: Call, project: ProjectArgument) -> None:
    """Delete a project that has no services."""
    async with call.connect() as client:
        answer = await client.ask(control.PROJECT_DELETE, control.ProjectRef(project=project))
    call.terminal.result(answer, lambda console: console.print(f"Deleted project {project}"))


def _draw(console: Console, record: ProjectRecord, title: str) -> None:
    console.print(Text.assemble(title, (record.name, "name")))
    custody = "held by the coordinator, sealed under its master key" if record.key_id else "held by its owner only"
    print_facts(
        console,
        [
            ("created", moment(record.created_at, utc_now())),
            ("identity", custody),
            ("recipients", Text("\n".join(record.recipients))),
        ],
    )
