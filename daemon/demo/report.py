"""The end of the demo for people: figures, what was compared, where things are, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.cli.figures import count, duration, rate, size
from daemon.cli.plain_text import visible
from daemon.demo.result import DemoResult, Transfer

_SHOWN_DIFFERENCES: Final = 20


def draw_report(console: Console, result: DemoResult) -> None:
    """Everything that `result` says, in a screenful."""
    _draw_figures(console, result)
    _draw_tables(console, result)
    for warning in result.warnings:
        _say(console, f"warning: {warning}", "yellow")
    differences = result.comparison.differences
    for difference in differences[:_SHOWN_DIFFERENCES]:
        _say(console, str(difference), "red")
    if len(differences) > _SHOWN_DIFFERENCES:
        _say(console, f"and {count(len(differences) - _SHOWN_DIFFERENCES, 'more difference')}; --json has them all", "red")
    _draw_verdict(console, result)
    _draw_next(console, result)


def _draw_figures(console: Console, result: DemoResult) -> None:
    grid = _table("", "native", "stored", "took", "speed (native)")
    for name, transfer in (("backup", result.backup), ("restore", result.restore)):
        grid.add_row(name, *_cells(transfer))
    console.print()
    console.print(grid)
    console.print()
    facts = f"{result.ratio:.1f} times smaller stored than dumped; the original takes {size(result.data_bytes)} on disk"
    _say(console, facts)


def _cells(transfer: Transfer) -> tuple[str, ...]:
    return (
        size(transfer.native_bytes),
        size(transfer.stored_bytes),
        duration(transfer.elapsed_s),
        rate(transfer.native_bytes_per_s),
    )


def _draw_tables(console: Console, result: DemoResult) -> None:
    grid = _table("name", "records", "restored", "content")
    for table in result.comparison.tables:
        grid.add_row(
            visible(table.name),
            "-" if table.rows is None else f"{table.rows:,}",
            "-" if table.restored_rows is None else f"{table.restored_rows:,}",
            Text("equal", style="green") if table.equal else Text("differs", style="bold red"),
        )
    console.print()
    console.print(grid)
    console.print()
    kinds = ", ".join(f"{kind} ({number})" for kind, number in result.comparison.objects.items() if number)
    if kinds:
        _say(console, f"compared besides: {kinds}")


def _draw_verdict(console: Console, result: DemoResult) -> None:
    comparison = result.comparison
    console.print()
    if result.passed:
        what = f"{comparison.rows:,} records of {count(len(comparison.tables), 'object')} are equal by content"
        console.print(
            Text.assemble(("✓ ", "bold green"), f"What came back is what went in: {what}, in {duration(result.elapsed_s)}.")
        )
    else:
        what = count(len(comparison.differences), "difference")
        console.print(Text.assemble(("✗ ", "bold red"), f"What came back is not what went in: {what}."))


def _draw_next(console: Console, result: DemoResult) -> None:
    console.print()
    if result.folder:
        folder = Path(result.folder)
        _say(console, f"Everything is kept in {folder}; remove it when you have seen enough.")
        _say(console, f"  cd {folder / 'proof'} && {result.proof.command}")
        _say(console, f"  strongroom up --data {folder / 'strongroom'}")
    else:
        _say(console, "The folder with all of it is removed again (--keep leaves it).")
    _say(console, "The same for another engine: `strongroom demo --engine KIND`; `strongroom demo --help` names them.")
    _say(console, "Next: `strongroom up` starts all of it to stay; `strongroom --help` shows the rest.")


def _table(first: str, *others: str) -> Table:
    grid = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    grid.add_column(first, no_wrap=True)
    for title in others:
        grid.add_column(title, justify="right", no_wrap=True)
    return grid


def _say(console: Console, line: str, style: str = "") -> None:
    console.print(Text(line, style=style))
