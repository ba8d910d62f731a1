"""What a backup holds, object by object, as tables for a page.

The inventory is an engine's own: databases with their tables, or the number of records by the name of what holds them.  What
this version does not know it does not show.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from daemon.cli.figures import count, size

_TABLES_SHOWN: Final = 50
"""Of each database, the largest."""
_DATABASES_SHOWN: Final = 100
_COUNTS_SHOWN: Final = 200


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


class InventoryTable(msgspec.Struct, frozen=True, kw_only=True):
    """Rows under their heads; the first column names what the row is about, `numbers` are the places of figures."""

    title: str
    heads: list[str]
    rows: list[list[str]]
    numbers: tuple[int, ...] = ()
    left_out: int = 0


def inventory_tables(inventory: Any) -> list[InventoryTable]:
    """Empty for a kind of inventory that this version does not know."""
    try:
        return _of_databases(msgspec.convert(inventory, _Databases).databases)
    except msgspec.ValidationError:
        pass
    try:
        return [_of_counts(msgspec.convert(inventory, _Counts).counts)]
    except msgspec.ValidationError:
        return []


def _of_databases(databases: list[_Database]) -> list[InventoryTable]:
    shown = databases[:_DATABASES_SHOWN]
    overview = InventoryTable(
        title="Databases",
        heads=["Database", "Owner", "Encoding", "Size on disk", "Holds"],
        rows=[
            [
                each.name,
                each.owner,
                each.encoding,
                size(each.size_bytes) if each.size_bytes is not None else "",
                _holds(each.objects),
            ]
            for each in shown
        ],
        numbers=(3,),
        left_out=len(databases) - len(shown),
    )
    return [overview, *(_of_tables(each.name, each.objects) for each in shown if each.objects and each.objects.tables)]


def _of_tables(database: str, objects: _Objects) -> InventoryTable:
    shown = objects.tables[:_TABLES_SHOWN]
    return InventoryTable(
        title=f"Tables of {database}",
        heads=["Table", "Kind", "Rows", "Size"],
        rows=[
            [
                f"{table.schema}.{table.name}" if table.schema else table.name,
                table.kind or "table",
                _rows(table),
                size(table.bytes),
            ]
            for table in shown
        ],
        numbers=(2, 3),
        left_out=max(0, objects.table_count - len(shown)),
    )


def _of_counts(counts: dict[str, int]) -> InventoryTable:
    largest = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = largest[:_COUNTS_SHOWN]
    return InventoryTable(
        title="Contents",
        heads=["Name", "Records"],
        rows=[[name, f"{records:,}"] for name, records in shown],
        numbers=(1,),
        left_out=len(largest) - len(shown),
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


def _rows(table: _Table) -> str:
    if table.rows is not None:
        return f"{table.rows:,}"
    return f"about {table.estimated_rows:,}" if table.estimated_rows is not None else "unknown"
