"""Restores as people see them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from contracts.records import RestoreRecord
from contracts.wire import utc_now
from daemon.cli.figures import size, stamp, when
from daemon.cli.plain_text import visible
from daemon.cli.tables import Column, print_facts, print_table
from daemon.cli.words import STATE_STYLES, elapsed, error_lines, moment, run_name, state, warning_lines


def draw_restores(console: Console, records: Sequence[RestoreRecord]) -> None:
    """One line a restore; its name is what commands take."""
    print_table(
        console,
        [
            Column("RESTORE"),
            Column("STATE", rank=1),
            Column("REQUESTED (UTC)", rank=6),
            Column("TOOK", rank=5, align="right"),
            Column("OF BACKUP", rank=4),
            Column("INTO", rank=2),
            Column("NOTES", rank=3),
        ],
        [
            (
                Text.assemble((f"{record.project}/{record.service}/", "name"), record.id),
                state(record.state),
                stamp(record.requested_at),
                elapsed(record),
                record.backup_id,
                f"{record.target.project}/{record.target.service} on {record.node}",
                Text(record.error.code if record.error else "", style=STATE_STYLES[record.state]),
            )
            for record in records
        ],
    )


def draw_outcome(console: Console, record: RestoreRecord) -> None:
    """What became of a restore that was waited for, in a few lines."""
    into = f"{record.target.project}/{record.target.service} on {record.node}"
    placed = _placed(record)
    what = f": {placed}" if placed else ""
    console.print(
        Text.assemble(("✓ ", "good"), (run_name(record), "name"), f"  restored into {into}{what}, took {elapsed(record)}"),
        soft_wrap=True,
    )
    for warning in record.warnings:
        console.print(Text.assemble(("! ", "odd"), visible(warning)), soft_wrap=True)


def draw_restore(console: Console, record: RestoreRecord) -> None:
    """Everything about one restore."""
    now = utc_now()
    target = record.target
    console.print(Text.assemble("Restore ", (run_name(record), "name"), "  ", state(record.state)), soft_wrap=True)
    console_facts = [
        ("of backup", f"{record.project}/{record.service}/{record.backup_id}"),
        ("into", f"{target.project}/{target.service}"),
        ("node", record.node),
        ("artifacts", visible(", ".join(record.artifacts))),
        ("renamed", visible(", ".join(f"{old} to {new}" for old, new in target.rename.items()))),
        ("replaces data", "yes" if target.replace else ""),
        ("skips roles", "yes" if target.skip_roles else ""),
        ("directory", visible(target.directory)),
        ("only paths", visible(", ".join(target.paths))),
        ("stored", size(record.size_bytes)),
        ("requested", moment(record.requested_at, now)),
        ("by", visible(record.actor)),
        ("attempt", str(record.attempt) if record.attempt > 1 else ""),
        ("started", when(record.started_at)),
        ("finished", when(record.finished_at)),
        ("took", elapsed(record)),
        ("in place", _placed(record)),
        ("error", error_lines(record.error) if record.error else ""),
        ("warnings", warning_lines(record.warnings)),
    ]
    print_facts(console, console_facts)


def _placed(record: RestoreRecord) -> str:
    """What was put in place, as the agent names it."""
    placed = record.restored.get("in_place")
    return visible(", ".join(placed)) if isinstance(placed, list) else ""
