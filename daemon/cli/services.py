"""`strongroom service`: what is backed up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.errors import InvalidInput
from contracts.ids import check_slug, parse_service_ref
from contracts.standing import Level
from daemon.cli import service_pings, service_retention, service_schedules
from daemon.cli.arguments import ServiceArgument, YesOption
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm
from daemon.cli.figures import count, duration, size, when
from daemon.cli.help_pages import Index
from daemon.cli.paging import pages
from daemon.cli.policy_files import read_policy_file
from daemon.cli.retention_options import NewPolicyOption
from daemon.cli.schedule_options import DEFAULT, ScheduleOption, chosen_schedule
from daemon.cli.schedule_views import schedule_words
from daemon.cli.service_options import KindOption, NodesOption, changed_options, kind_parameters, new_options
from daemon.cli.service_views import draw_service, draw_services

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

_SHOWN = 200
"""Services on a screen; more are hardly looked at one by one."""

services = typer.Typer(cls=Index, no_args_is_help=True, help="Databases and storage that are backed up.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(services, name="service", rich_help_panel="Set up")
    service_schedules.add_to(services)
    service_retention.add_to(services)
    service_pings.add_to(services)


@command(
    services,
    "add",
    examples=[
        ("strongroom service add acme/orders --kind postgresql --node db1", "all databases of a server"),
        (
            "strongroom service add acme/orders --kind postgresql --node db1 --node db2 --exclude 'test_*'",
            "two nodes that reach it, and databases to leave out",
        ),
        (
            "strongroom service add acme/orders --kind postgresql --node db1 --schedule 'daily 03:30' --policy policy.toml",
            "when it is backed up, and what is kept",
        ),
        (
            "strongroom service add acme/shop --kind mariadb --node db2 --method logical --include 'shop*'",
            "single databases of a MariaDB server",
        ),
        ("strongroom service add acme/search --kind elasticsearch --node es1 --exclude 'logs-*'", "an index cluster"),
        ("strongroom service add acme/files --kind shared-storage --node nas1 --exclude '*.tmp'", "a directory tree"),
    ],
    more=kind_parameters(),
)
async def add(
    call: Call,
    /,
    service: ServiceArgument,
    kind: KindOption,
    node: NodesOption,
    schedule: ScheduleOption = DEFAULT,
    policy: NewPolicyOption = None,
    **given: Any,
) -> None:
    """Add a service to a project."""
    project, name = parse_service_ref(service)
    if not node:
        raise InvalidInput("input.invalid", "a service needs at least one node: name it with --node", field="node")
    options = new_options(kind, given)
    request = control.ServiceAdd(
        project=project,
        name=name,
        options=options,
        nodes=node,
        schedule=chosen_schedule(schedule),
        retention=read_policy_file(policy),
    )
    async with call.connect() as client:
        record = await client.ask(control.SERVICE_ADD, request)
    call.terminal.result(
        record, lambda console: console.print(Text.assemble("Added service ", (f"{project}/{name}", "name")))
    )
    call.terminal.say(
        f"On {' and '.join(record.nodes)}: `strongroom-agent service add {service} --kind {kind} …` tells the agent how to "
        f"reach it; then `strongroom backup create {service}`.\n"
        f"By itself: {schedule_words(record.effective_schedule, is_default=record.schedule is None)}."
    )


@command(
    services,
    "change",
    examples=[
        ("strongroom service change acme/orders --node db2", "other nodes; the list is replaced"),
        ("strongroom service change acme/orders --exclude 'test_*' --exclude scratch", "other databases to leave out"),
        ("strongroom service change acme/orders --include ''", "no choice any more: all databases"),
    ],
    more=kind_parameters(),
)
async def change(
    call: Call,
    /,
    service: ServiceArgument,
    node: NodesOption = None,
    **given: Any,
) -> None:
    """Change what is backed up, or the nodes; what is not named stays as it is.

    Lists are replaced, and an empty text empties them."""
    project, name = parse_service_ref(service)
    async with call.connect() as client:
        view = await client.ask(control.SERVICE_SHOW, control.ServiceRef(project=project, service=name))
        options = changed_options(view.record.options, given)
        if options == view.record.options and node is None:
            raise InvalidInput("input.invalid", "nothing to change was named: see --help")
        request = control.ServiceChange(
            project=project,
            service=name,
            options=options if options != view.record.options else None,
            nodes=[check_slug(each, "node") for each in node] if node else None,
        )
        record = await client.ask(control.SERVICE_CHANGE, request)
    view = msgspec.structs.replace(view, record=record)
    call.terminal.result(record, lambda console: draw_service(console, view, []))


@command(
    services,
    "list",
    examples=[
        ("strongroom service list", "all services"),
        ("strongroom service list acme --worst-first", "those of a project, problems first"),
        ("strongroom service list --search 'mariadb db2' --limit 20", "by words in their names, kinds and nodes"),
        ("strongroom service list --level problem --output ndjson | jq -r .record.name", "what is not safe, for a program"),
    ],
)
async def list_(
    call: Call,
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Only of this project.", show_default=False)] = "",
    search: Annotated[
        str,
        typer.Option(
            "--search",
            "-s",
            metavar="WORDS",
            help="Only those that have all these words in project, name, kind or nodes.",
            show_default=False,
        ),
    ] = "",
    level: Annotated[
        Level | None,
        typer.Option("--level", metavar="LEVEL", help=f"Only those that are {', '.join(Level)}.", show_default=False),
    ] = None,
    worst_first: Annotated[bool, typer.Option("--worst-first", help="Problems first.", show_default=False)] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            min=1,
            metavar="N",
            help=f"The first N; by default {_SHOWN:,} for people and all for programs.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List services: how each stands, when it was last backed up, and when that is due."""
    if limit is None and not call.terminal.as_json:
        limit = _SHOWN

    async def page(cursor: str, wanted: int) -> control.Services:
        request = control.ServiceList(
            project=project, search=search, level=level, worst_first=worst_first, cursor=cursor, limit=wanted
        )
        return await client.ask(control.SERVICE_LIST, request)

    async with call.connect() as client:
        answers = [answer async for answer in pages(page, lambda answer: len(answer.services), limit)]
    found = [view for answer in answers for view in answer.services]
    answer = msgspec.structs.replace(answers[-1], services=found)

    def draw(console: Console) -> None:
        if found:
            draw_services(console, found)
        elif search or level:
            call.terminal.say("No service is like that: `strongroom service list` shows all.")
        else:
            call.terminal.say("There are no services yet: `strongroom service add PROJECT/SERVICE …` adds one.")
        if len(found) < answer.total:
            call.terminal.say(f"These are {len(found):,} of {answer.total:,}: --limit shows more, --search finds some.")

    call.terminal.result(answer, draw, items=found)


@command(
    services,
    "show",
    examples=[("strongroom service show acme/orders", "its options, nodes, schedule, retention and last backup")],
)
async def show(call: Call, service: ServiceArgument) -> None:
    """Show a service: when it is backed up, what is kept, what its nodes see of it, and its last backup."""
    project, name = parse_service_ref(service)
    async with call.connect() as client:
        view = await client.ask(control.SERVICE_SHOW, control.ServiceRef(project=project, service=name))
        nodes = [] if call.terminal.as_json else (await client.ask(control.NODE_LIST, control.Nothing())).nodes
    call.terminal.result(view, lambda console: draw_service(console, view, nodes))


@command(
    services,
    "delete",
    examples=[
        ("strongroom service delete acme/orders", "asks first; can be undone for a while"),
        ("strongroom service delete acme/orders --yes", "in a script"),
    ],
)
async def delete(call: Call, service: ServiceArgument, yes: YesOption = False) -> None:
    """Delete a service; until the grace is over it can be had back.

    It is not backed up any more.  Its backups can be restored and downloaded until the grace is over (seven days, or as
    long as the coordinator's settings say); then they are gone for good."""
    project, name = parse_service_ref(service)
    async with call.connect() as client:
        if not yes:
            facts = await _what_goes(client, project, name)
            confirm(f"Delete service {service}?", yes=yes, doing=f"deleting service {service}", facts=facts)
        request = control.ServiceDelete(project=project, service=name, actor=call.actor)
        record = await client.ask(control.SERVICE_DELETE, request)
    purge_at = when(record.deletion.purge_at if record.deletion else None)

    def draw(console: Console) -> None:
        console.print(Text.assemble("Deleted service ", (service, "name"), f"; gone for good {purge_at}"))

    call.terminal.result(record, draw)
    call.terminal.say(
        f"Until then its backups can be restored and downloaded, and `strongroom service undelete {service}` brings it back."
    )


@command(services, "undelete", examples=[("strongroom service undelete acme/orders", "while its grace is not over")])
async def undelete(call: Call, service: ServiceArgument) -> None:
    """Have a deleted service back, with its schedule and its backups, while its grace is not over."""
    project, name = parse_service_ref(service)
    async with call.connect() as client:
        request = control.ServiceDelete(project=project, service=name, actor=call.actor)
        record = await client.ask(control.SERVICE_UNDELETE, request)
    words = schedule_words(record.effective_schedule, is_default=record.schedule is None)
    call.terminal.result(
        record, lambda console: console.print(Text.assemble("Service ", (service, "name"), f" is back, {words}"))
    )


async def _what_goes(client: ControlClient, project: str, name: str) -> str:
    """What there is of the service, and what becomes of it.  Raises: NotFound."""
    await client.ask(control.SERVICE_SHOW, control.ServiceRef(project=project, service=name))
    grace_s = (await client.ask(control.STATUS, control.Nothing())).grace_days * 86_400
    usage = await client.ask(control.PROJECT_USAGE, control.ProjectUsage(project=project))
    backups = sum(each.backups for each in usage.services if each.service == name)
    stored = sum(each.size_bytes for each in usage.services if each.service == name)
    return (
        f"Service {project}/{name} has {count(backups, 'backup')}, {size(stored)}.\n"
        f"Once deleted, it is not backed up any more. Its backups can be restored and downloaded for {duration(grace_s)};\n"
        "then they are gone for good.\n"
        f"Until then `strongroom service undelete {project}/{name}` brings it back."
    )
