"""`strongroom node`: the hosts that run agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.control import NodeView
from contracts.errors import NotFound
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
