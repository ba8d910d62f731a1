"""Services as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from contracts.control import NodeView, ServiceView
from contracts.records import RunSummary
from contracts.services import ServiceOptions
from contracts.wire import utc_now
from daemon.cli.figures import ago, ahead, duration, size, stamp
from daemon.cli.plain_text import visible
from daemon.cli.policy_views import policy_lines
from daemon.cli.schedule_views import schedule_words
from daemon.cli.standing_views import LEVEL_STYLES, MARKS, cause_lines, cause_words, level_word
from daemon.cli.tables import Column, print_facts, print_table
from daemon.cli.words import coming, deleted, frozen, health, moment


def draw_services(console: Console, views: Sequence[ServiceView]) -> None:
    """One line a service."""
    now = utc_now()
    rows: list[list[str | Text]] = []
    for view in views:
        last = view.last_completed
        rows.append(
            [
                Text(f"{view.record.project}/{view.record.name}", style="name"),
                level_word(view.standing.level),
                view.kind,
                ", ".join(view.record.nodes),
                Text(stamp(last.requested_at)) if last else Text("never", style="bad"),
                ago(last.requested_at, now) if last else "",
                size(last.size_bytes) if last else "",
                stamp(view.next_due),
                Text(view.active, style="busy"),
                _note(view, now),
            ]
        )
    print_table(
        console,
        [
            Column("SERVICE"),
            Column("STANDS", rank=1),
            Column("KIND", rank=7),
            Column("NODES", rank=5),
            Column("LAST BACKUP (UTC)", rank=2),
            Column("AGE", rank=3),
            Column("STORED", rank=8, align="right"),
            Column("NEXT DUE (UTC)", rank=6),
            Column("UNDER WAY", rank=4),
            Column("NOTE", rank=1, fold=True),
        ],
        rows,
    )


def draw_service(console: Console, view: ServiceView, nodes: Sequence[NodeView]) -> None:
    """Everything about one service; `nodes` are all that the coordinator knows."""
    record = view.record
    now = utc_now()
    name = f"{record.project}/{record.name}"
    level = view.standing.level
    console.print(Text.assemble("Service ", (name, "name"), "  ", (f"{MARKS[level]} {level}", LEVEL_STYLES[level])))
    print_facts(
        console,
        [
            ("stands", cause_lines(view)),
            ("kind", view.kind),
            *_options(record.options),
            ("nodes", ", ".join(record.nodes)),
            ("added", moment(record.created_at, now)),
            ("deletion", deleted(record.deletion, f"strongroom service undelete {name}", now)),
            ("schedule", schedule_words(record.effective_schedule, is_default=record.schedule is None)),
            ("next due", coming(view.next_due, now)),
            ("retention", Text("\n".join(policy_lines(record.retention)))),
            ("freeze", frozen(view.freeze)),
            ("under way", Text(f"{name}/{view.active}" if view.active else "", style="busy")),
            ("last backup", _last(name, view.last_completed)),
        ],
    )
    seen = [node for node in nodes if node.record.name in record.nodes]
    if seen:
        console.print()
        print_table(
            console,
            [Column("NODE"), Column("AGENT"), Column("SEES", fold=True)],
            [
                (
                    Text(node.record.name, style="name"),
                    Text("alive", style="good") if node.alive else Text("silent", style="bad"),
                    health(node.alive.services.get(name)) if node.alive else "",
                )
                for node in seen
            ],
        )


def _note(view: ServiceView, now: datetime) -> Text:
    """What is not as usual."""
    deletion = view.record.deletion
    if deletion is not None:
        return Text(f"deleted, gone {ahead(deletion.purge_at, now)}", style="odd")
    words = [cause_words(view), Text("retention frozen" if view.freeze else "", style="odd")]
    return Text(", ").join(word for word in words if word)


def _last(service: str, backup: RunSummary | None) -> Text:
    if backup is None:
        return Text("none completed yet", style="bad")
    took = duration(backup.elapsed_s) if backup.elapsed_s is not None else "unknown"
    facts = f"{size(backup.size_bytes)} stored, took {took}"
    return Text.assemble((f"{service}/{backup.id}", ""), "\n", moment(backup.requested_at, utc_now()), "\n", facts)


def _options(options: ServiceOptions) -> list[tuple[str, str]]:
    """The options by their names: the same for every kind."""
    document: dict[str, Any] = msgspec.to_builtins(options)
    document.pop("kind", None)
    return [(name.removesuffix("_s").replace("_", " "), _value(name, v)) for name, v in document.items()]


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return visible(", ".join(map(str, value)))
    return f"{value} s" if name.endswith("_s") else visible(str(value))
