"""Projects as people see them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from contracts.policy.quota_plan import QuotaPlan
from contracts.records import ProjectRecord
from contracts.wire import utc_now
from daemon.cli.figures import ahead, stamp
from daemon.cli.sizes import limit_size, limit_words
from daemon.cli.tables import Column, print_facts, print_table
from daemon.cli.words import deleted, moment


def draw_projects(console: Console, records: Sequence[ProjectRecord]) -> None:
    """One line a project."""
    now = utc_now()
    print_table(
        console,
        [
            Column("PROJECT"),
            Column("PLAN", rank=3),
            Column("QUOTA", rank=2),
            Column("RECIPIENTS", rank=5, align="right"),
            Column("CREATED (UTC)", rank=4),
            Column("NOTE", rank=1),
        ],
        [
            (
                Text(record.name, style="name"),
                record.plan,
                limit_size(record.quota_bytes),
                str(len(record.recipients)),
                stamp(record.created_at),
                Text(f"deleted, gone {ahead(record.deletion.purge_at, now)}" if record.deletion else "", style="odd"),
            )
            for record in records
        ],
    )


def draw_project(console: Console, record: ProjectRecord, title: str) -> None:
    """Everything about one project."""
    now = utc_now()
    console.print(Text.assemble(title, (record.name, "name")))
    custody = "held by the coordinator, sealed under its master key" if record.key_id else "held by its owner only"
    print_facts(
        console,
        [
            ("created", moment(record.created_at, now)),
            ("deletion", deleted(record.deletion, f"strongroom project undelete {record.name}", now)),
            ("quota", quota_words(record.plan, record.quota_bytes)),
            ("identity", custody),
            ("recipients", Text("\n".join(record.recipients))),
        ],
    )


def quota_words(plan: QuotaPlan, quota_bytes: int) -> str:
    """Such as `5 GB (4.66 GiB), the plan lightweight`."""
    return f"{limit_words(quota_bytes)}, the plan {plan}"
