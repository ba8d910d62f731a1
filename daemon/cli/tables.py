"""Tables that fit the terminal: what matters least is left out before anything is cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from daemon.cli.plain_text import visible

_GAP: Final = 2
_LEAST: Final = 12
"""Cells that a column keeps when even the indispensable ones do not fit."""


class Column(NamedTuple):
    """A column's head, and how dispensable it is: the highest rank goes first, 0 never goes."""

    title: str
    rank: int = 0
    align: Literal["left", "right"] = "left"
    fold: bool = False
    """Whether long values may be broken into lines; ids and names that will be copied may not."""


Cell = str | Text


def print_table(console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    """The rows under their heads, as many columns as the console has room for."""
    texts = [[_text(cell) for cell in row] for row in rows]
    shown = plan_columns(columns, texts, console.width)
    if (widths := _fitting(columns, texts, shown, console.width)) is not None:
        _print_lines(console, columns, texts, shown, widths)
        return
    kept = [_width(columns, texts, at) for at in shown if columns[at].rank == 0]
    is_room_for_kept = sum(kept) + _GAP * len(shown) <= console.width
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="quiet")
    for at in shown:
        column = columns[at]
        table.add_column(
            column.title,
            justify=column.align,
            # What never goes is never cut either: where even that is too wide, it takes two lines.
            no_wrap=not column.fold and column.rank > 0,
            overflow="ellipsis" if column.rank and not column.fold else "fold",
            min_width=_width(columns, texts, at)
            if is_room_for_kept and column.rank == 0
            else min(_LEAST, _width(columns, texts, at)),
        )
    for row in texts:
        table.add_row(*(row[at] for at in shown))
    _print(console, table)


def print_facts(console: Console, facts: Sequence[tuple[str, Cell]]) -> None:
    """One line a fact, its name in front; facts without a value are left out."""
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(style="quiet", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in facts:
        text = _text(value)
        if text.plain:
            grid.add_row(name, text)
    _print(console, grid)


def plan_columns(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> list[int]:
    """The indices of the columns to show, in order."""
    shown = list(range(len(columns)))
    widths = [_width(columns, rows, at) for at in shown]
    # A column of empty cells says nothing, whatever its rank.
    if rows:
        shown = [at for at in shown if columns[at].rank == 0 or any(row[at].plain for row in rows)]
    while sum(widths[at] + _GAP for at in shown) - _GAP > width:
        dispensable = [at for at in shown if columns[at].rank]
        if not dispensable:
            break
        shown.remove(max(dispensable, key=lambda at: (columns[at].rank, at)))
    return shown


def _fitting(
    columns: Sequence[Column], rows: Sequence[Sequence[Text]], shown: Sequence[int], width: int
) -> list[int] | None:
    """The width of each shown column where everything fits on one line as it is; None where something does not."""
    widths = []
    for at in shown:
        if any("\n" in row[at].plain for row in rows):
            return None
        widths.append(max(cell_len(columns[at].title), *(cell_len(row[at].plain) for row in rows), 0))
    return widths if sum(widths) + _GAP * (len(widths) - 1) <= width else None


def _print_lines(
    console: Console, columns: Sequence[Column], rows: Sequence[Sequence[Text]], shown: Sequence[int], widths: Sequence[int]
) -> None:
    """The same as the library's table would look, without the milliseconds that it needs for each row."""
    lines = Text()
    heads = [Text(columns[at].title, style="quiet") for at in range(len(columns))]
    for number, row in enumerate([heads, *rows]):
        line = Text("\n" if number else "")
        for at, width in zip(shown, widths, strict=True):
            blanks = " " * (width - cell_len(row[at].plain))
            gap = " " * _GAP if at != shown[0] else ""
            line.append(gap + blanks if columns[at].align == "right" else gap)
            line.append_text(row[at])
            line.append(blanks if columns[at].align == "left" else "")
        line.rstrip()
        lines.append_text(line)
    console.print(lines, soft_wrap=True)


def _width(columns: Sequence[Column], rows: Sequence[Sequence[Text]], at: int) -> int:
    widest = max((cell_len(row[at].plain) for row in rows), default=0)
    # A value that may be folded needs no more than a readable part of the line.
    return max(cell_len(columns[at].title), min(widest, 24) if columns[at].fold else widest)


def _text(cell: Cell) -> Text:
    return cell if isinstance(cell, Text) else Text(visible(cell))


def _print(console: Console, table: Table) -> None:
    if console.is_terminal:
        console.print(table)
        return
    # Into a file or a pipe without the blanks that fill the last column.
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        console.print(Text(line.rstrip()), soft_wrap=True)
