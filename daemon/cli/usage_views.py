"""What a project stores, as people see it."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.progress_bar import ProgressBar
from rich.text import Text

from contracts.control import Usage, UsageCheck
from daemon.cli.figures import count, percent, size
from daemon.cli.project_views import quota_words
from daemon.cli.tables import Column, print_facts, print_table

_BAR_COLUMNS: Final = 40
_NEARLY_FULL: Final = 0.9


def draw_usage(console: Console, usage: Usage) -> None:
    """The sums, a line for each service, and what a check found."""
    taken = usage.stored_bytes + usage.reserved_bytes
    free = usage.quota_bytes - taken
    over = f"none: {size(-free)} more than it may store" if free < 0 else ""
    console.print(Text.assemble("Project ", (usage.project, "name")))
    print_facts(
        console,
        [
            ("quota", quota_words(usage.plan, usage.quota_bytes)),
            ("stored", size(usage.stored_bytes)),
            ("held for runs", size(usage.reserved_bytes) if usage.reserved_bytes else ""),
            ("free", Text(over, style="bad") if over else size(free)),
            ("taken", Text(percent(taken, usage.quota_bytes), style=_style(taken, usage.quota_bytes))),
        ],
    )
    if console.is_terminal:
        # A picture for people; elsewhere the line above says the same.
        _draw_bar(console, taken, usage.quota_bytes)
    if usage.services:
        console.print()
        print_table(
            console,
            [Column("SERVICE"), Column("BACKUPS", rank=1, align="right"), Column("STORED", align="right")],
            [
                (Text(f"{usage.project}/{each.service}", style="name"), str(each.backups), size(each.size_bytes))
                for each in usage.services
            ],
        )
    if usage.check is not None:
        console.print()
        _draw_check(console, usage.check)


def _style(taken: int, quota_bytes: int) -> str:
    return "bad" if taken > quota_bytes else "odd" if taken >= _NEARLY_FULL * quota_bytes else "good"


def _draw_bar(console: Console, taken: int, quota_bytes: int) -> None:
    style = _style(taken, quota_bytes)
    width = min(_BAR_COLUMNS, console.width)
    console.print(
        ProgressBar(total=1.0, completed=taken / quota_bytes, width=width, complete_style=style, finished_style=style)
    )


def _draw_check(console: Console, check: UsageCheck) -> None:
    counted = f"{count(check.objects, 'object')} counted, {size(check.found_bytes)} of completed backups"
    if check.under_way_bytes:
        counted += f", {size(check.under_way_bytes)} of runs that have not ended"
    if check.is_exact:
        console.print(Text.assemble(("✓ ", "good"), f"bucket and records agree: {counted}"))
        return
    console.print(Text.assemble(("✗ ", "bad"), f"bucket and records disagree: {counted}"))
    print_table(
        console,
        [
            Column("OBJECTS BELOW"),
            Column("RECORDED", rank=2, align="right"),
            Column("FOUND", rank=2, align="right"),
            Column("PROBLEM", rank=1, fold=True),
        ],
        [(each.prefix, f"{each.recorded_bytes:,} B", f"{each.found_bytes:,} B", each.problem) for each in check.differences],
    )
