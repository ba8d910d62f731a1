"""`strongroom node`: the hosts that run agents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.control import InvitationView, NodeView
from contracts.errors import InvalidInput, NotFound
from contracts.wire import utc_now
from daemon.cli.arguments import NodeArgument, YesOption
from daemon.cli.command import Call, command
from daemon.cli.confirming import confirm
from daemon.cli.figures import ago, stamp
from daemon.cli.help_pages import Index
from daemon.cli.tables import Column, print_table

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

nodes = typer.Typer(cls=Index, no_args_is_help=True, help="Hosts that run an agent.")


def add_to(app: typer.Typer) -> None:
    app.add_typer(nodes, name="node", rich_help_panel="Set up")


@command(nodes, "add", examples=[("strongroom node add db1", "register a host before its agent starts")])
async def add(call: Call, node: NodeArgument) -> None:
    """Register a node, so that its agent can be given work."""
    async with call.connect() as client:
        record = await client.ask(control.NODE_ADD, control.NodeRef(node=node))
    call.terminal.result(record, lambda console: console.print(Text.assemble("Added node ", (record.name, "name"))))
    call.terminal.say(
        f"On that host: `strongroom-agent service add PROJECT/SERVICE …` for each of its databases, then "
        f'`strongroom-agent run --config FILE` with node = "{record.name}" in the file.'
    )


@command(
    nodes,
    "list",
    examples=[
        ("strongroom node list", "which agents are alive, and what they see"),
        ("strongroom node list --json", "for a program"),
    ],
)
async def list_(call: Call) -> None:
    """List all nodes, and which of them are alive."""
    async with call.connect() as client:
        answer = await client.ask(control.NODE_LIST, control.Nothing())

    def draw(console: Console) -> None:
        if answer.nodes:
            draw_nodes(console, answer.nodes)
        else:
            call.terminal.say("There are no nodes yet: `strongroom node add NAME` registers one.")

    call.terminal.result(answer, draw, items=answer.nodes)


@command(
    nodes,
    "remove",
    examples=[
        ("strongroom node remove db1", "a node that no service names any more; asks first"),
        ("strongroom node remove db1 --yes", "in a script"),
    ],
)
async def remove(call: Call, node: NodeArgument, yes: YesOption = False) -> None:
    """Remove a node that no service names."""
    async with call.connect() as client:
        if not yes:
            facts = await _what_goes(client, node)
            confirm(f"Remove node {node}?", yes=yes, doing=f"removing node {node}", facts=facts)
        answer = await client.ask(control.NODE_REMOVE, control.NodeRef(node=node))
    call.terminal.result(answer, lambda console: console.print(f"Removed node {node}"))


@command(
    nodes,
    "enroll",
    examples=[
        ("strongroom node enroll db2", "a join token for another host, good for an hour"),
        ("strongroom node enroll db2 --project acme --service orders", "and it serves acme/orders as soon as it has joined"),
        ("strongroom node enroll db2 --valid 10m", "good for ten minutes"),
    ],
)
async def enroll(
    call: Call,
    node: NodeArgument,
    project: Annotated[
        str,
        typer.Option("--project", metavar="PROJECT", help="Of the services that the node will serve.", show_default=False),
    ] = "",
    service: Annotated[
        list[str] | None,
        typer.Option(
            "--service", metavar="SERVICE", help="One that the node will serve; may be repeated.", show_default=False
        ),
    ] = None,
    valid: Annotated[str, typer.Option("--valid", metavar="TIME", help="How long the token is good: 10m, 1h, 2d.")] = "1h",
) -> None:
    """Make a join token, with which a host becomes this node.  It is shown this once, and kept nowhere."""
    services = _service_refs(project, service or [])
    request = control.NodeEnroll(node=node, services=services, valid_s=_seconds(valid), actor=call.actor)
    async with call.connect() as client:
        answer = await client.ask(control.NODE_ENROLL, request)
    call.terminal.result(answer, lambda console: console.print(Text(answer.token), soft_wrap=True))
    call.terminal.say(
        f"That is the join token of node {answer.node}, good for one host until {stamp(answer.expires_at)}; it is "
        f"shown this once.\nOn that host run `strongroom-agent join -` and paste it there.\n"
        f"`strongroom node uninvite {answer.id}` ends it."
    )


@command(
    nodes,
    "revoke",
    examples=[("strongroom node revoke db2", "shut it out at once, such as when its host was stolen; asks first")],
)
async def revoke(call: Call, node: NodeArgument, yes: YesOption = False) -> None:
    """Shut a node out at once: its connections are closed and its credentials open nothing any more."""
    async with call.connect() as client:
        if not yes:
            facts = (
                f"Node {node} is cut off at once, in the middle of its runs; those end as lost.\n"
                f"`strongroom node enroll {node}` lets a host become this node again."
            )
            confirm(f"Revoke node {node}?", yes=yes, doing=f"revoking node {node}", facts=facts)
        answer = await client.ask(control.NODE_REVOKE, control.NodeRevoke(node=node, actor=call.actor))
    call.terminal.result(answer, lambda console: console.print(f"Revoked node {node}"))


@command(nodes, "invitations", examples=[("strongroom node invitations", "which join tokens are open, and which were used")])
async def invitations(call: Call) -> None:
    """List the join tokens that were made, without their secrets."""
    async with call.connect() as client:
        answer = await client.ask(control.INVITATION_LIST, control.Nothing())

    def draw(console: Console) -> None:
        if not answer.invitations:
            call.terminal.say("There are no join tokens: `strongroom node enroll NODE` makes one.")
            return
        now = utc_now()
        columns = [Column("ID"), Column("NODE"), Column("STATE"), Column("MADE BY", rank=2), Column("UNTIL (UTC)", rank=1)]
        rows: list[list[str | Text]] = [
            [view.id, Text(view.node, style="name"), _state(view, now), view.created_by, stamp(view.expires_at)]
            for view in answer.invitations
        ]
        print_table(console, columns, rows)

    call.terminal.result(answer, draw, items=answer.invitations)


@command(nodes, "uninvite", examples=[("strongroom node uninvite abcdefghij", "a join token that went astray")])
async def uninvite(
    call: Call,
    id_: Annotated[str, typer.Argument(metavar="ID", help="As `strongroom node invitations` shows it.", show_default=False)],
) -> None:
    """End a join token.  A host that has used it stays: `strongroom node revoke` shuts that out."""
    async with call.connect() as client:
        answer = await client.ask(control.INVITATION_REVOKE, control.InvitationRef(id=id_, actor=call.actor))
    call.terminal.result(answer, lambda console: console.print(f"Ended the join token {answer.id} of node {answer.node}"))


def _state(view: InvitationView, now: datetime) -> Text:
    if view.revoked_at is not None:
        return Text("revoked", style="quiet")
    if view.used_at is not None:
        return Text("used", style="good")
    return Text("expired", style="quiet") if view.expires_at <= now else Text("open", style="odd")


def _service_refs(project: str, services: Sequence[str]) -> list[str]:
    """Raises: InvalidInput."""
    refs = [service if "/" in service else f"{project}/{service}" for service in services]
    if any(ref.startswith("/") for ref in refs):
        raise InvalidInput("input.invalid", "--service needs --project, or PROJECT/SERVICE as its value", field="service")
    if project and not refs:
        raise InvalidInput("input.invalid", "--project needs --service: a node serves services", field="service")
    return refs


def _seconds(text: str) -> float:
    """Raises: InvalidInput."""
    units = {"m": 60, "h": 3600, "d": 86_400}
    try:
        return float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        raise InvalidInput("input.invalid", f"--valid {text!r} is no time such as 10m, 1h or 2d", field="valid") from None


async def _what_goes(client: ControlClient, node: str) -> str:
    """Raises: NotFound."""
    views = (await client.ask(control.NODE_LIST, control.Nothing())).nodes
    view = next((view for view in views if view.record.name == node), None)
    if view is None:
        raise NotFound("node.not_found", f"there is no node {node!r}", field="node")
    state = f"alive, seen {ago(view.alive.seen_at, utc_now())}" if view.alive else "silent"
    return (
        f"Node {node} is {state}. Once removed, its agent is given no more work, and what waits in its queue is lost;\n"
        f"`strongroom node add {node}` registers it anew."
    )


def draw_nodes(console: Console, views: Sequence[NodeView]) -> None:
    """One line a node."""
    now = utc_now()
    rows: list[list[str | Text]] = []
    for view in views:
        alive = view.alive
        mark = Text("alive", style="good") if alive else Text("silent", style="bad" if view.record.recipient else "odd")
        rows.append(
            [
                Text(view.record.name, style="name"),
                mark,
                ago(alive.seen_at, now) if alive else "",
                str(len(alive.running)) if alive and alive.running else "",
                _engines(view),
                alive.agent_version if alive else "",
                stamp(view.record.created_at),
            ]
        )
    print_table(
        console,
        [
            Column("NODE"),
            Column("AGENT", rank=1),
            Column("SEEN", rank=3),
            Column("RUNS", rank=4, align="right"),
            Column("ENGINES", rank=2),
            Column("VERSION", rank=5),
            Column("ADDED (UTC)", rank=6),
        ],
        rows,
    )


def _engines(view: NodeView) -> Text:
    if not view.alive:
        return Text("never heard of" if not view.record.recipient else "", style="quiet")
    seen = view.alive.services.values()
    bad = sum(not health.reachable for health in seen)
    if not seen:
        return Text("none configured", style="odd")
    return Text.assemble(f"{len(seen) - bad} of {len(seen)} reachable", style="bad" if bad else "")
