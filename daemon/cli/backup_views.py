"""Backups as people see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from contracts.control import BackupDetail
from contracts.records import ArtifactRecord, BackupRecord, RunState
from contracts.wire import utc_now
from daemon.cli.figures import count, duration, rate, ratio, size, stamp, when
from daemon.cli.inventory_views import draw_inventory
from daemon.cli.plain_text import visible
from daemon.cli.stock_commands import draw_stock_commands
from daemon.cli.tables import Column, print_facts, print_table
from daemon.cli.words import STATE_STYLES, elapsed, error_lines, moment, run_name, state, warning_lines

_ONE: Final = {"indices": "index", "indexes": "index", "aliases": "alias", "directories": "directory"}
"""Of the drivers' words for what a backup holds, those whose singular does more than lose its s."""


def draw_backups(console: Console, records: Sequence[BackupRecord]) -> None:
    """One line a backup; its name is what commands take."""
    print_table(
        console,
        [
            Column("BACKUP"),
            Column("STATE", rank=1),
            Column("REQUESTED (UTC)", rank=6),
            Column("TOOK", rank=4, align="right"),
            Column("DATA", rank=3, align="right"),
            Column("STORED", rank=2, align="right"),
            Column("NODE", rank=5),
            Column("TAGS", rank=4, fold=True),
            Column("NOTES", rank=3, fold=True),
        ],
        [
            (
                Text.assemble((f"{record.project}/{record.service}/", "name"), record.id),
                state(record.state),
                stamp(record.requested_at),
                elapsed(record),
                size(record.plain_bytes) if record.plain_bytes else "",
                size(record.size_bytes) if record.size_bytes else "",
                record.node,
                Text(visible(" ".join(record.tags)), style="quiet"),
                _notes(record),
            )
            for record in records
        ],
    )


def draw_outcome(console: Console, record: BackupRecord) -> None:
    """What became of a backup that was waited for, in a few lines."""
    took_s = 0.0
    if record.started_at and record.finished_at:
        took_s = (record.finished_at - record.started_at).total_seconds()
    facts = [
        count(len(record.artifacts), "artifact"),
        f"{size(record.plain_bytes)} in {size(record.size_bytes)}",
        f"took {duration(took_s)}",
    ]
    if took_s >= 1:
        facts.append(rate(record.plain_bytes / took_s))
    console.print(Text.assemble(("✓ ", "good"), (run_name(record), "name"), f"  {', '.join(facts)}"), soft_wrap=True)
    for warning in record.warnings:
        console.print(Text.assemble(("! ", "odd"), visible(warning)), soft_wrap=True)


def draw_backup(console: Console, detail: BackupDetail) -> None:
    """Everything about one backup."""
    record = detail.record
    now = utc_now()
    console.print(Text.assemble("Backup ", (run_name(record), "name"), "  ", state(record.state)), soft_wrap=True)
    print_facts(
        console,
        [
            ("kind", record.kind),
            ("due", when(record.due_at)),
            ("requested", moment(record.requested_at, now)),
            ("by", " ".join(part for part in (str(record.trigger), visible(record.actor)) if part)),
            ("node", f"{record.node} ({record.placement})" if record.placement else record.node),
            ("attempt", str(record.attempt) if record.attempt > 1 else ""),
            ("tried before", ", ".join(record.tried_nodes)),
            ("started", when(record.started_at)),
            ("finished", when(record.finished_at)),
            ("took", elapsed(record)),
            ("data", _amount(record)),
            ("holds", _holds(record)),
            ("tags", ", ".join(record.tags)),
            ("tools", ", ".join(f"{name} {version}" for name, version in detail.tools.items())),
            ("being deleted", visible(record.deletion_reason) if record.state is RunState.DELETING else ""),
            ("error", error_lines(record.error) if record.error else ""),
            ("warnings", warning_lines(record.warnings)),
        ],
    )
    if record.artifacts:
        console.print()
        _draw_artifacts(console, record.artifacts)
    if detail.inventory is not None:
        console.print()
        draw_inventory(console, detail.inventory)
    elif record.state is RunState.COMPLETED:
        console.print()
        console.print(Text("The inventory is sealed: only the owner of the project's identity can read it.", style="quiet"))
    if record.state is RunState.COMPLETED:
        console.print()
        draw_stock_commands(console, record)


def _draw_artifacts(console: Console, artifacts: Sequence[ArtifactRecord]) -> None:
    print_table(
        console,
        [
            Column("ARTIFACT"),
            Column("KIND", rank=5),
            Column("FORMAT", rank=6),
            Column("DATA", rank=3, align="right"),
            Column("STORED", rank=2, align="right"),
            Column("SHA-256", rank=4),
        ],
        [
            (
                Text(visible(artifact.name), style="name"),
                artifact.kind,
                artifact.format,
                size(artifact.plain_bytes),
                size(artifact.stored_bytes),
                Text(artifact.sha256, style="quiet"),
            )
            for artifact in artifacts
        ],
    )


def _amount(record: BackupRecord) -> str:
    if not record.size_bytes:
        return ""
    smaller = ratio(record.plain_bytes, record.size_bytes)
    return f"{size(record.plain_bytes)}, stored in {size(record.size_bytes)}" + (f" ({smaller} smaller)" if smaller else "")


def _holds(record: BackupRecord) -> str:
    """The figures of the summary, such as `3 databases, 120 tables`."""
    figures = [(name, value) for name, value in record.summary.items() if type(value) is int and value]
    return ", ".join(figure(name.replace("_", " "), value) for name, value in figures if not name.endswith("bytes"))


def figure(many: str, value: int) -> str:
    if value != 1:
        return f"{value:,} {many}"
    words = many.split()
    return " ".join(["1", *words[:-1], _ONE.get(words[-1], words[-1].removesuffix("s"))])


def _notes(record: BackupRecord) -> Text:
    """The most telling thing about it: an error, or that there are warnings."""
    if record.error is not None:
        return Text(record.error.code, style=STATE_STYLES[record.state])
    return Text(count(len(record.warnings), "warning") if record.warnings else "", style="odd")
