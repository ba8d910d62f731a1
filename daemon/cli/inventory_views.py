"""A backup's inventory as people see it: databases and the largest tables of each, or whatever else holds records.

The inventory is an engine's own: what this view does not know it does not show, and `--json` has all of it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from rich.console import Console
from rich.text import Text

from daemon.cli.figures import count, size
from daemon.cli.plain_text import visible
from daemon.cli.tables import Column, print_table

_TABLES_SHOWN: Final = 8
_DATABASES_SHOWN: Final = 20
_COUNTS_SHOWN: Final = 20


class _Table(msgspec.Struct, frozen=True):
    name: str
    schema: str = ""
    kind: str = ""
    bytes: int = 0
    estimated_rows: int | None = None
    rows: int | None = None


class _Objects(msgspec.Struct, frozen=True):
    table_count: int = 0
    tables: list[_Table] = []
    view_count: int = 0
    function_count: int = 0
    sequence_count: int = 0
    large_objects: int = 0


class _Database(msgspec.Struct, frozen=True):
    name: str
    owner: str = ""
    encoding: str = ""
    size_bytes: int | None = None
    objects: _Objects | None = None


class _Databases(msgspec.Struct, frozen=True):
    databases: list[_Database]


class _Counts(msgspec.Struct, frozen=True):
    counts: dict[str, int]
    """Records by name of what holds them; every kind of service has these."""


def draw_inventory(console: Console, inventory: Any) -> None:
    """What is in the backup, as far as a screen goes."""
    console.print(Text("Inventory", style="head"))
    for shape, draw in ((_Databases, _draw_databases), (_Counts, _draw_counts)):
        try:
            known: Any = msgspec.convert(inventory, shape)
        except msgspec.ValidationError:
            continue
        draw(console, known)
        return
    console.print(Text("  of a kind that this version does not know; --json shows it", style="quiet"))


def _draw_counts(console: Console, known: _Counts) -> None:
    """The largest ones."""
    largest = sorted(known.counts.items(), key=lambda item: (-item[1], item[0]))
    shown = largest[:_COUNTS_SHOWN]
    print_table(
        console,
        [Column("NAME"), Column("RECORDS", rank=1, align="right")],
        [(Text(visible(name), style="name"), f"{records:,}") for name, records in shown],
    )
    if len(largest) > len(shown):
        console.print(Text(f"  and {count(len(largest) - len(shown), 'more', 'more')} with --json", style="quiet"))


def _draw_databases(console: Console, known: _Databases) -> None:
    """The databases, then the largest tables of each."""
    print_table(
        console,
        [
            Column("DATABASE"),
            Column("OWNER", rank=3),
            Column("ENCODING", rank=4),
            Column("SIZE ON DISK", rank=2, align="right"),
            Column("HOLDS", rank=1, fold=True),
        ],
        [
            (
                Text(visible(database.name), style="name"),
                database.owner,
                database.encoding,
                size(database.size_bytes) if database.size_bytes is not None else "",
                _holds(database.objects),
            )
            for database in known.databases
        ],
    )
    for database in known.databases[:_DATABASES_SHOWN]:
        if database.objects and database.objects.tables:
            console.print()
            _draw_tables(console, database.name, database.objects)


def _draw_tables(console: Console, name: str, objects: _Objects) -> None:
    shown = objects.tables[:_TABLES_SHOWN]
    left_out = objects.table_count - len(shown)
    title = Text.assemble("Tables of ", (visible(name), "name"))
    if left_out > 0:
        title.append(f", the largest {len(shown)}; {count(left_out, 'more', 'more')} with --json", style="quiet")
    console.print(title)
    print_table(
        console,
        [
            Column("TABLE"),
            Column("KIND", rank=3),
            Column("ROWS", rank=1, align="right"),
            Column("SIZE", rank=2, align="right"),
        ],
        [
            (
                visible(f"{table.schema}.{table.name}" if table.schema else table.name),
                _kind(table),
                _rows(table),
                size(table.bytes),
            )
            for table in shown
        ],
    )


def _holds(objects: _Objects | None) -> str:
    if objects is None:
        return ""
    amounts = (
        (objects.table_count, "table"),
        (objects.view_count, "view"),
        (objects.function_count, "function"),
        (objects.sequence_count, "sequence"),
        (objects.large_objects, "large object"),
    )
    return ", ".join(count(number, what) for number, what in amounts if number) or "nothing"


def _kind(table: _Table) -> str:
    return "" if table.kind == "table" else table.kind


def _rows(table: _Table) -> str:
    if table.rows is not None:
        return f"{table.rows:,}"
    return f"about {table.estimated_rows:,}" if table.estimated_rows is not None else "unknown"
