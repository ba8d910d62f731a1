"""What retention keeps and deletes, as people see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date
from typing import Final

from rich.console import Console
from rich.text import Text

from contracts.control import BackupVerdict, RetentionView
from contracts.policy.freeze import Freeze
from contracts.policy.retention import BackupClass, Decision, RetentionPlan
from contracts.policy.simulation import Simulation
from daemon.cli.figures import count, size, stamp
from daemon.cli.plain_text import visible
from daemon.cli.tables import Cell, Column, print_table

_STYLES: Final = {Decision.KEEP: "good", Decision.EXPIRE: "odd", Decision.UNTOUCHED: "quiet"}
_LETTERS: Final = {
    BackupClass.PROTECTED: "P",
    BackupClass.MONTHLY: "M",
    BackupClass.WEEKLY: "W",
    BackupClass.DAILY: "D",
    BackupClass.NONE: "n",
}


def draw_plan(console: Console, planned: RetentionPlan) -> None:
    """Every backup of a list, its verdict and the sums."""
    verdicts = [BackupVerdict.of(verdict) for verdict in planned.verdicts]
    draw_verdicts(console, verdicts)
    _draw_sums(console, verdicts, planned.freeze, len(planned.expired))


def draw_view(console: Console, view: RetentionView) -> None:
    """The same of a service's backups."""
    draw_verdicts(console, view.verdicts)
    _draw_sums(console, view.verdicts, view.freeze, len(view.expired))


def draw_simulation(console: Console, played: Simulation) -> None:
    """A line a day, a calendar of what is left, and why it is."""
    columns = [Column(title, align="right") for title in ("MADE", "FAILED", "EXPIRED", "KEPT", "STORED")]
    rows: list[list[Cell]] = [
        [
            f"{day.day:%Y-%m-%d %a}",
            *(str(len(ids)) if ids else "" for ids in (day.made, day.failed, day.expired)),
            str(day.kept_count),
            size(day.kept_bytes),
            f"frozen: {day.freeze.reason}" if day.freeze else "",
        ]
        for day in played.days
    ]
    print_table(console, [Column("DAY (UTC)"), *columns, Column("NOTE", rank=1, fold=True)], rows)
    console.print()
    _draw_calendar(console, played)
    console.print()
    verdicts = [BackupVerdict.of(verdict) for verdict in played.final.verdicts]
    draw_verdicts(console, verdicts)
    _draw_sums(console, verdicts, played.final.freeze, len(played.expired))


def draw_verdicts(console: Console, verdicts: Sequence[BackupVerdict]) -> None:
    """One line a backup, in the order given."""
    rows: list[list[Cell]] = [
        [
            stamp(verdict.at),
            verdict.id,
            verdict.backup_class,
            " ".join(verdict.tags),
            size(verdict.size_bytes),
            Text(verdict.decision, style=_STYLES[verdict.decision]),
            verdict.reason,
        ]
        for verdict in verdicts
    ]
    columns = [Column("AT (UTC)"), Column("BACKUP", rank=3), Column("CLASS"), Column("TAGS", rank=4, fold=True)]
    columns += [Column("SIZE", rank=2, align="right"), Column("VERDICT"), Column("REASON", rank=1, fold=True)]
    print_table(console, columns, rows)


def frozen_line(freeze: Freeze) -> Text:
    """Why nothing is deleted at the moment."""
    return Text.assemble(("Frozen", "bad"), f": nothing expires, because {visible(freeze.reason)}.")


def _draw_sums(console: Console, verdicts: Sequence[BackupVerdict], freeze: Freeze | None, expired: int) -> None:
    kept = [verdict for verdict in verdicts if verdict.decision is Decision.KEEP]
    untouched = sum(verdict.decision is Decision.UNTOUCHED for verdict in verdicts)
    console.print()
    if freeze:
        console.print(frozen_line(freeze))
    by_class = Counter(verdict.backup_class for verdict in kept)
    parts = ", ".join(f"{by_class[each]} {each}" for each in BackupClass if by_class[each])
    total = size(sum(verdict.size_bytes for verdict in kept))
    line = f"{count(len(kept), 'backup')} kept, {total}{': ' if parts else ''}{parts}; {expired} expired"
    console.print(Text(f"{line}; {untouched} not looked at." if untouched else f"{line}."))


def _draw_calendar(console: Console, played: Simulation) -> None:
    """One line a month, one letter a day: the highest class of what is left of it."""
    order = list(_LETTERS)
    left: dict[date, BackupClass] = {}
    for verdict in played.final.kept:
        day = verdict.run.at.astimezone(UTC).date()
        left[day] = min(left.get(day, BackupClass.NONE), verdict.backup_class, key=order.index)
    lines: dict[str, list[str]] = {}
    for simulated in played.days:
        nothing = "." if simulated.made else "x" if simulated.failed else "-"
        letter = _LETTERS[left[simulated.day]] if simulated.day in left else nothing
        month = lines.setdefault(f"{simulated.day:%Y-%m}", [" "] * (simulated.day.day - 1))
        month.append(letter)
    console.print(Text(f"KEPT OF    {''.join(str(day % 10) for day in range(1, 32))}", style="quiet"))
    for name, letters in lines.items():
        console.print(Text(f"{name}    {''.join(letters)}"))
    legend = "P protected, M monthly, W weekly, D daily, n manual, . made and expired, x failed, - nothing due"
    console.print(Text(legend, style="quiet"))
