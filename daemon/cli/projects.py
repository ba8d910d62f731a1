"""`strongroom project`: tenants, each with keys of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.errors import InvalidInput
from daemon.cli import project_usage
from daemon.cli.arguments import ProjectArgument, YesOption
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm
from daemon.cli.figures import count, duration, size, when
from daemon.cli.help_pages import Index
from daemon.cli.project_views import draw_project, draw_projects
from daemon.cli.quota_options import PlanOption, QuotaOption, chosen_quota

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

projects = typer.Typer(cls=Index, no_args_is_help=True, help="Tenants, each with keys of its own.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(projects, name="project", rich_help_panel="Set up")
    project_usage.add_to(projects)


@command(
    projects,
    "create",
    examples=[
        ("strongroom project create acme", "a project with a key of its own, held by the coordinator"),
        (
            "strongroom project create acme --recovery-recipient age1…",
            "backups open with that identity too, even if the coordinator and its key are lost",
        ),
        ("strongroom project create acme --quota 200GB", "all its backups together take no more than that"),
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
    plan: PlanOption = None,
    quota: QuotaOption = None,
) -> None:
    """Create a project."""
    chosen, quota_bytes = chosen_quota(plan, quota)
    request = control.ProjectCreate(
        name=name, recovery_recipients=recovery_recipient or [], plan=chosen, quota_bytes=quota_bytes
    )
    async with call.connect() as client:
        record = await client.ask(control.PROJECT_CREATE, request)
    call.terminal.result(record, lambda console: draw_project(console, record, "Created project "))
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
        answer = await client.ask(control.PROJECT_LIST, control.ProjectList())

    def draw(console: Console) -> None:
        if answer.projects:
            draw_projects(console, answer.projects)
        else:
            call.terminal.say("There are no projects yet: `strongroom project create NAME` makes one.")

    call.terminal.result(answer, draw, items=answer.projects)


@command(projects, "show", examples=[("strongroom project show acme", "its quota and its keys")])
async def show(call: Call, project: ProjectArgument) -> None:
    """Show a project: how much it may store, and what its backups are encrypted to."""
    async with call.connect() as client:
        record = await client.ask(control.PROJECT_SHOW, control.ProjectRef(project=project))
    call.terminal.result(record, lambda console: draw_project(console, record, "Project "))


@command(
    projects,
    "set-quota",
    examples=[
        ("strongroom project set-quota acme --plan serious", "one of the plans"),
        ("strongroom project set-quota acme --quota 200GB", "as much as is named"),
    ],
)
async def set_quota(call: Call, project: ProjectArgument, plan: PlanOption = None, quota: QuotaOption = None) -> None:
    """Change how much all backups of a project may take together.

    What is stored already stays: a project that has more than it may cannot store more until it has less."""
    if plan is None and quota is None:
        raise InvalidInput("input.invalid", "name a --plan or a --quota", field="plan")
    chosen, quota_bytes = chosen_quota(plan, quota)
    request = control.ProjectSetQuota(project=project, plan=chosen, quota_bytes=quota_bytes, actor=call.actor)
    async with call.connect() as client:
        record = await client.ask(control.PROJECT_SET_QUOTA, request)
    call.terminal.result(record, lambda console: draw_project(console, record, "Changed project "))


@command(
    projects,
    "delete",
    examples=[
        ("strongroom project delete acme", "asks first; can be undone for a while"),
        ("strongroom project delete acme --yes", "in a script"),
    ],
)
async def delete(call: Call, project: ProjectArgument, yes: YesOption = False) -> None:
    """Delete a project with its services; until the grace is over it can be had back.

    Nothing is backed up any more.  The backups can be restored and downloaded until the grace is over (seven days, or as
    long as the coordinator's settings say); then they, the records and the project's key are gone for good."""
    async with call.connect() as client:
        if not yes:
            facts = await _what_goes(client, project)
            confirm(f"Delete project {project}?", yes=yes, doing=f"deleting project {project}", facts=facts)
        record = await client.ask(control.PROJECT_DELETE, control.ProjectDelete(project=project, actor=call.actor))
    purge_at = when(record.deletion.purge_at if record.deletion else None)

    def draw(console: Console) -> None:
        console.print(Text.assemble("Deleted project ", (project, "name"), f"; gone for good {purge_at}"))

    call.terminal.result(record, draw)
    call.terminal.say(
        f"Until then its backups can be restored and downloaded, and `strongroom project undelete {project}` brings it back."
    )


@command(projects, "undelete", examples=[("strongroom project undelete acme", "while its grace is not over")])
async def undelete(call: Call, project: ProjectArgument) -> None:
    """Have a deleted project back, with its services and backups, while its grace is not over."""
    async with call.connect() as client:
        record = await client.ask(control.PROJECT_UNDELETE, control.ProjectDelete(project=project, actor=call.actor))
    call.terminal.result(record, lambda console: console.print(Text.assemble("Project ", (project, "name"), " is back")))


async def _what_goes(client: ControlClient, project: str) -> str:
    """What is in the project, and what becomes of it."""
    usage = await client.ask(control.PROJECT_USAGE, control.ProjectUsage(project=project))
    grace_s = (await client.ask(control.STATUS, control.Nothing())).grace_days * 86_400
    backups = sum(each.backups for each in usage.services)
    return (
        f"Project {project} has {count(len(usage.services), 'service')} and {count(backups, 'backup')}, "
        f"{size(usage.stored_bytes)}.\n"
        f"Once deleted, nothing is backed up any more. The backups can be restored and downloaded for {duration(grace_s)};\n"
        "then they and the project's key are gone for good.\n"
        f"Until then `strongroom project undelete {project}` brings it back."
    )
