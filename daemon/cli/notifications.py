"""`strongroom notify`: who is told when backups fail, are missed or recover."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.control import ChannelView
from contracts.errors import InvalidInput, NotFound, Unavailable
from contracts.notifications import ALL_KINDS, AlertKind, Severity
from contracts.wire import utc_now
from daemon.cli.arguments import YesOption
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm
from daemon.cli.figures import ago
from daemon.cli.help_pages import Index
from daemon.cli.plain_text import visible
from daemon.cli.secret_urls import UrlFileOption, read_url
from daemon.cli.tables import Column, print_table

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

notify = typer.Typer(cls=Index, no_args_is_help=True, help="Who is told of trouble: mail, chats, webhooks.")

_ADDRESS = "Address (such as mailtos://… or slack://…; it is not shown)"

ChannelArgument = Annotated[
    str, typer.Argument(metavar="CHANNEL", help="The channel's id, or its name.", show_default=False)
]
SeverityOption = Annotated[
    Severity | None,
    typer.Option(
        "--min-severity",
        metavar="SEVERITY",
        help=f"Tell of nothing milder than this: {', '.join(Severity)}. By default warning.",
        show_default=False,
    ),
]
KindsOption = Annotated[
    list[AlertKind] | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help=f"What is told of: {', '.join(AlertKind)}. May be repeated; all of them without it.",
        show_default=False,
    ),
]


def add_to(app: typer.Typer) -> None:
    app.add_typer(notify, name="notify", rich_help_panel="Set up")


@command(
    notify,
    "add",
    examples=[
        ("strongroom notify add on-call", "asks for the address, which is typed unseen"),
        ("strongroom notify add on-call --url-file address.txt", "mail, Slack, Teams, Discord, Telegram, a webhook …"),
        (
            "strongroom notify add acme-team --url-file - --project acme",
            "of one project only; the address comes from a pipe",
        ),
        (
            "strongroom notify add pager --url-file pager.txt --min-severity critical --kind failed --kind missed",
            "only what cannot wait",
        ),
    ],
)
async def add(
    call: Call,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.", show_default=False)],
    url_file: UrlFileOption = None,
    project: Annotated[
        str, typer.Option("--project", metavar="PROJECT", help="Only tell of this project.", show_default=False)
    ] = "",
    min_severity: SeverityOption = None,
    kind: KindsOption = None,
    off: Annotated[bool, typer.Option("--off", help="Add it switched off.", show_default=False)] = False,
) -> None:
    """Add a channel on which people are told of trouble, and of its end.

    The address is an Apprise URL, such as mailtos://user:password@example.org?to=ops@example.org, slack://…, tgram://… or
    jsons://…, or a webhook as Slack, Discord or Teams hand it out. It holds secrets: it is read from a file, a pipe or the
    keyboard, kept sealed, and shown to nobody again."""
    request = control.ChannelCreate(
        name=name,
        url=read_url(url_file, _ADDRESS),
        project=project,
        min_severity=min_severity or Severity.WARNING,
        kinds=tuple(kind) if kind else ALL_KINDS,
        enabled=not off,
        actor=call.actor,
    )
    async with call.connect() as client:
        view = await client.ask(control.CHANNEL_CREATE, request)
    call.terminal.result(view, lambda console: _draw_done(console, "Added", view))
    call.terminal.say(f"`strongroom notify test {view.id}` sends a message now.")


@command(
    notify,
    "list",
    examples=[
        ("strongroom notify list", "all channels, and whether messages arrive"),
        ("strongroom notify list acme", "those of one project"),
    ],
)
async def list_(
    call: Call,
    project: Annotated[str, typer.Argument(metavar="PROJECT", help="Only of this project.", show_default=False)] = "",
) -> None:
    """List the channels, what they are told of, and whether messages arrive."""
    async with call.connect() as client:
        answer = await client.ask(control.CHANNEL_LIST, control.ChannelList(project=project))

    def draw(console: Console) -> None:
        if answer.channels:
            _draw_channels(console, answer.channels)
        else:
            call.terminal.say("Nobody is told of trouble yet: `strongroom notify add NAME` adds a channel.")

    call.terminal.result(answer, draw, items=answer.channels)


@command(
    notify,
    "change",
    examples=[
        ("strongroom notify change on-call --min-severity critical", "only what cannot wait"),
        ("strongroom notify change on-call --url-file address.txt", "another address, or a new token"),
        ("strongroom notify change on-call --off", "quiet, until --on"),
    ],
)
async def change(
    call: Call,
    channel: ChannelArgument,
    url_file: UrlFileOption = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Another name.", show_default=False)] = None,
    min_severity: SeverityOption = None,
    kind: KindsOption = None,
    on: Annotated[bool | None, typer.Option("--on/--off", help="Switch it on or off.", show_default=False)] = None,
) -> None:
    """Change a channel's address, name, or what it is told of; what is not named stays as it is."""
    if all(value is None for value in (url_file, name, min_severity, kind, on)):
        raise InvalidInput("input.invalid", "nothing to change was named: see --help", field="channel")
    url = read_url(url_file, _ADDRESS) if url_file is not None else None
    async with call.connect() as client:
        request = control.ChannelChange(
            id=(await _find(client, channel)).id,
            name=name,
            url=url,
            min_severity=min_severity,
            kinds=tuple(kind) if kind else None,
            enabled=on,
            actor=call.actor,
        )
        view = await client.ask(control.CHANNEL_CHANGE, request)
    call.terminal.result(view, lambda console: _draw_done(console, "Changed", view))


@command(notify, "remove", examples=[("strongroom notify remove on-call", "nobody is told there any more")])
async def remove(call: Call, channel: ChannelArgument, yes: YesOption = False) -> None:
    """Remove a channel, with its address."""
    async with call.connect() as client:
        view = await _find(client, channel)
        facts = f"The channel {view.name} ({view.target}) is told of {view.project or 'all projects'}."
        confirm(f"Remove channel {view.name}?", yes=yes, doing=f"removing channel {view.name}", facts=facts)
        answer = await client.ask(control.CHANNEL_DELETE, control.ChannelRef(id=view.id, actor=call.actor))
    call.terminal.result(answer, lambda console: _draw_done(console, "Removed", view))


@command(notify, "test", examples=[("strongroom notify test on-call", "does a message arrive?")])
async def test(call: Call, channel: ChannelArgument) -> None:
    """Send a test message now, and tell what became of it; ends with 6 where it was not taken."""
    async with call.connect() as client:
        reference = control.ChannelRef(id=(await _find(client, channel)).id, actor=call.actor)
        # Longer than a host may take to answer.
        answer = await client.ask(control.CHANNEL_TEST, reference, timeout_s=90)

    def draw(console: Console) -> None:
        for outcome in answer.outcomes:
            mark = Text("✓ ", style="good") if outcome.ok else Text("✗ ", style="bad")
            console.print(Text.assemble(mark, (visible(outcome.target), "name"), f": {visible(outcome.message)}"))

    call.terminal.result(answer, draw)
    if not answer.ok:
        raise typer.Exit(Unavailable.exit_status)


async def _find(client: ControlClient, text: str) -> ChannelView:
    """The channel of that id, or else of that name.  Raises: NotFound, InvalidInput where several have the name."""
    channels = (await client.ask(control.CHANNEL_LIST, control.ChannelList())).channels
    found = [view for view in channels if view.id == text] or [view for view in channels if view.name == text]
    if not found:
        raise NotFound("channel.not_found", f"there is no channel {text!r}", field="channel")
    if len(found) > 1:
        ids = ", ".join(f"{view.id} ({view.project or 'all projects'})" for view in found)
        raise InvalidInput(
            "input.invalid", f"several channels are called {text!r}: name one by its id: {ids}", field="channel"
        )
    return found[0]


def _draw_done(console: Console, done: str, view: ChannelView) -> None:
    of = f" of project {view.project}" if view.project else ""
    console.print(
        Text.assemble(f"{done} channel ", (visible(view.name), "name"), f"{of}, {visible(view.target)}, id {view.id}")
    )


def _draw_channels(console: Console, views: list[ChannelView]) -> None:
    now = utc_now()
    print_table(
        console,
        [
            Column("NAME"),
            Column("ID", rank=2),
            Column("PROJECT", rank=3),
            Column("TO", rank=4),
            Column("FROM SEVERITY", rank=6),
            Column("KINDS", rank=7, fold=True),
            Column("MESSAGES", rank=1, fold=True),
        ],
        [
            [
                Text(visible(view.name), style="name"),
                view.id,
                view.project or Text("all", style="quiet"),
                view.target,
                str(view.min_severity),
                "all" if set(view.kinds) == set(ALL_KINDS) else ", ".join(view.kinds),
                _arriving(view, now),
            ]
            for view in views
        ],
    )


def _arriving(view: ChannelView, now: datetime) -> Text:
    if not view.enabled:
        return Text("off", style="odd")
    if view.failing_since is not None:
        since = ago(view.failing_since, now).removesuffix(" ago")
        return Text(f"do not arrive since {since}: {visible(view.error)}", style="bad")
    return Text(f"last {ago(view.last_sent_at, now)}" if view.last_sent_at else "none yet")
