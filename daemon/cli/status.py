"""`strongroom status`: does everything answer, and is everything backed up?"""

from __future__ import annotations

import time
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.control import NodeView, ServiceView
from contracts.wire import utc_now
from daemon.cli.command import Call, command
from daemon.cli.figures import ago, count
from daemon.cli.plain_text import visible
from daemon.cli.tables import print_facts


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "status",
        panel="Look",
        examples=[
            ("strongroom status", "is everything well?"),
            ("strongroom status --json", "the coordinator's answer alone"),
        ],
    )(status)


async def status(call: Call) -> None:
    """Show which coordinator answers, what it stands on, and what needs attention."""
    async with call.connect() as client:
        began = time.monotonic()
        answer = await client.ask(control.STATUS, control.Nothing())
        elapsed_s = time.monotonic() - began
        if call.terminal.as_json:
            call.terminal.json(answer)
            return
        nodes = (await client.ask(control.NODE_LIST, control.Nothing())).nodes
        services = (await client.ask(control.SERVICE_LIST, control.ServiceList())).services
    draw_status(call.terminal.out, answer, elapsed_s, nodes, services)


def draw_status(
    console: Console,
    answer: control.Status,
    elapsed_s: float,
    nodes: Sequence[NodeView],
    services: Sequence[ServiceView],
) -> None:
    """A few lines: facts first, then what is not as it should be."""
    console.print(
        Text.assemble("Strongroom ", (answer.version, "name"), (" answers", "good"), f" in {elapsed_s * 1000:.0f} ms")
    )
    facts = [(name.replace("_", " "), visible(str(value))) for name, value in answer.server.items()]
    running = sum(len(node.alive.running) for node in nodes if node.alive)
    print_facts(
        console,
        [
            *facts,
            ("nodes", _nodes(nodes)),
            ("services", _services(services)),
            ("under way", count(running, "run") if running else ""),
        ],
    )


def _nodes(nodes: Sequence[NodeView]) -> Text:
    silent = [node.record.name for node in nodes if node.alive is None]
    text = Text(f"{len(nodes) - len(silent)} of {len(nodes)} alive" if nodes else "none yet")
    if silent:
        text.append(f"; silent: {', '.join(silent)}", style="bad")
    return text


def _services(services: Sequence[ServiceView]) -> Text:
    if not services:
        return Text("none yet")
    never = [f"{s.record.project}/{s.record.name}" for s in services if s.last_completed is None]
    done = [s.last_completed for s in services if s.last_completed is not None]
    text = Text(str(len(services)))
    if done:
        oldest = min(done, key=lambda backup: backup.requested_at)
        text.append(
            f"; the oldest last backup is of {oldest.project}/{oldest.service}, {ago(oldest.requested_at, utc_now())}"
        )
    if never:
        text.append(f"; never backed up: {', '.join(never)}", style="bad")
    return text
