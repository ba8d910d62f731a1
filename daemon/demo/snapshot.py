"""Looking at a whole database: a content sum of every table, every large object, sequence value and definition.

All of it in one transaction with one view of the data.  Needs the superuser: large objects and row security ask for it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from daemon.demo.psql import Psql
from daemon.demo.scripts import sql_script

_TABLE: Final = "table"


class TableContent(msgspec.Struct, frozen=True):
    """All rows of a table in two figures; equal content gives equal figures, in whatever order the rows lie."""

    rows: int
    content_sum: str


class DatabaseSnapshot(msgspec.Struct, frozen=True):
    """A database by content."""

    tables: dict[str, TableContent]
    """By quoted name; partitions and materialised views each for themselves."""
    objects: dict[str, dict[str, str]]
    """By kind and name: definitions, and the content of large objects and sequences."""


class _Line(msgspec.Struct, array_like=True):
    kind: str
    name: str
    content: Any


async def take_snapshot(database: Psql) -> DatabaseSnapshot:
    """What is in the database now.  Reads every row; changes nothing.  Raises: SqlFailed."""
    lines = await database.rows(sql_script("snapshot") + sql_script("catalogue"), _Line)
    tables: dict[str, TableContent] = {}
    objects: dict[str, dict[str, str]] = {}
    for line in lines:
        if line.kind == _TABLE:
            rows, content_sum = msgspec.convert(line.content, tuple[int, str])
            tables[line.name] = TableContent(rows=rows, content_sum=content_sum)
        else:
            text = line.content if isinstance(line.content, str) else msgspec.json.encode(line.content).decode()
            objects.setdefault(line.kind, {})[line.name] = text
    return DatabaseSnapshot(tables=tables, objects=objects)
