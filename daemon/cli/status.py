"""`strongroom status`: does everything answer, and is everything backed up?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import typer
from rich.console import Console
from rich.text import Text

from contracts import control
from contracts.control import NodeView, ServiceView
from contracts.records import ProjectRecord
from contracts.wire import utc_now
from daemon.cli.command import Call, command
from daemon.cli.figures import ago, ahead, count
from daemon.cli.plain_text import visible
from daemon.cli.tables import print_facts

_OVERDUE_AFTER: Final = timedelta(minutes=5)
"""A run that waits for its agent or for another run to let go is given this long before it is told of."""
_MOST: Final = 10
"""Names on one line; `service list` has them all."""


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
        projects = (await client.ask(control.PROJECT_LIST, control.Nothing())).projects
    draw_status(call.terminal.out, answer, elapsed_s, nodes, services, projects, utc_now())


def draw_status(
    console: Console,
    answer: control.Status,
    elapsed_s: float,
    nodes: Sequence[NodeView],
    services: Sequence[ServiceView],
    projects: Sequence[ProjectRecord],
    now: datetime,
) -> None:
    """A few lines: facts first, then what is not as it should be."""
    gone = {project.name for project in projects if project.deletion is not None}
    live = [view for view in services if view.record.deletion is None and view.record.project not in gone]
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
            ("services", _services(live, now)),
            ("under way", count(running, "run") if running else ""),
            ("overdue", _listed(_overdue(live, now), "bad")),
            ("frozen", _listed([f"{_name(v)} ({v.freeze.cause.in_words})" for v in live if v.freeze is not None], "odd")),
            ("deleted", _listed(_deleted(services, projects, now), "odd")),
        ],
    )


def _nodes(nodes: Sequence[NodeView]) -> Text:
    silent = [node.record.name for node in nodes if node.alive is None]
    text = Text(f"{len(nodes) - len(silent)} of {len(nodes)} alive" if nodes else "none yet")
    if silent:
        text.append(f"; silent: {', '.join(silent)}", style="bad")
    return text


def _services(services: Sequence[ServiceView], now: datetime) -> Text:
    if not services:
        return Text("none yet")
    never = [_name(view) for view in services if view.last_completed is None]
    done = [s.last_completed for s in services if s.last_completed is not None]
    text = Text(str(len(services)))
    if done:
        oldest = min(done, key=lambda backup: backup.requested_at)
        text.append(f"; the oldest last backup is of {oldest.project}/{oldest.service}, {ago(oldest.requested_at, now)}")
    if never:
        text.append(f"; never backed up: {', '.join(never)}", style="bad")
    return text


def _overdue(services: Sequence[ServiceView], now: datetime) -> list[str]:
    """Those that were due since their last backup ended, with nothing under way; the latest first."""
    # Imported late: a help page should not wait for the cron parser.
    from daemon.schedules import next_due

    late = []
    for view in services:
        last = view.last_completed
        since = max(view.record.due_after, last.finished_at or last.requested_at) if last else view.record.due_after
        due = next_due(view.record.effective_schedule, since)
        if due is not None and now - due > _OVERDUE_AFTER and not view.active:
            late.append((due, _name(view)))
    return [f"{name} (since {ago(due, now).removesuffix(' ago')})" for due, name in sorted(late)]


def _deleted(services: Sequence[ServiceView], projects: Sequence[ProjectRecord], now: datetime) -> list[str]:
    """The first to go first."""
    gone = [(p.deletion.purge_at, f"project {p.name}") for p in projects if p.deletion is not None]
    gone += [(v.record.deletion.purge_at, _name(v)) for v in services if v.record.deletion is not None]
    return [f"{name} (gone {ahead(purge_at, now)})" for purge_at, name in sorted(gone)]


def _listed(items: Sequence[str], style: str) -> Text:
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return Text(", ".join(items[:_MOST]) + more, style=style)


def _name(view: ServiceView) -> str:
    return f"{view.record.project}/{view.record.name}"
