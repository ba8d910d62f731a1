"""How many rows tables have: counted, not estimated, of those that are small enough, in a bounded time.

A restore is compared by these figures.  So they are taken once more in the very snapshot that a dump is made of, see
`snapshots`, and what a restore need not bring back as it was is never among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from agents.drivers.postgresql.objects import DatabaseObjects, Table
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import quote_identifier, sql
from contracts.errors import RunFailed

COUNT_BELOW_BYTES: Final = 16 * 1024 * 1024
"""Tables up to this size have their rows counted."""
COUNT_BUDGET_S: Final = 3.0
"""For counting rows in one database of a server that others use."""
_COUNT_MARGIN_S: Final = 15.0
_LOCK_TIMEOUT_S: Final = 0.2
_PLAIN_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*")

_DEADLINE: Final = "SELECT extract(epoch FROM clock_timestamp()) + {ms} / 1000.0 AS deadline \\gset"
_COUNT: Final = """
SELECT {index}, (SELECT count(*) FROM ONLY {schema:name}.{table:name})
WHERE extract(epoch FROM clock_timestamp()) < :deadline
"""
# A table that is gone or locked must not end the transaction, and with it all other counts.
_IN_SNAPSHOT: Final = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    "SET TRANSACTION SNAPSHOT {snapshot}",
    "\\set ON_ERROR_ROLLBACK on",
)

Relation = tuple[str, str]
"""Schema and name."""


def countable_tables(tables: Sequence[Table], *, in_recovery: bool, every_table: bool = False) -> list[Relation]:
    """Smallest first.  A replica has no rows of unlogged tables, and says so in its log."""
    chosen = [
        table
        for table in tables
        if table.kind != "partitioned"
        and (every_table or table.bytes <= COUNT_BELOW_BYTES)
        and not (table.unlogged and in_recovery)
    ]
    return [(table.schema, table.name) for table in sorted(chosen, key=lambda table: table.bytes)]


async def count_rows(
    psql: Psql, database: str, tables: Sequence[Relation], *, budget_s: float, snapshot: str = ""
) -> dict[Relation, int]:
    """Rows of these tables, in this order until the time is up; the others are left out, and those that cannot be read.

    `snapshot` is one that another session has exported and still holds.  Never an error: it is not worth a backup.
    """
    if not tables or budget_s <= 0:
        return {}
    statements = [sql(line, snapshot=snapshot) for line in _IN_SNAPSHOT] if snapshot else []
    statements.append(sql(_DEADLINE, ms=int(budget_s * 1000)))
    statements += [sql(_COUNT, index=index, schema=schema, table=name) for index, (schema, name) in enumerate(tables)]
    try:
        finished = await psql.script(
            statements,
            f"counting rows in database {database!r}",
            database=database,
            timeout_s=budget_s + _COUNT_MARGIN_S,
            lock_timeout_s=_LOCK_TIMEOUT_S,
            stop_on_error=False,
        )
    except RunFailed:
        return {}
    return {tables[index]: rows for index, rows in _parse_counts(finished.stdout.decode(errors="replace")).items()}


def with_rows(objects: DatabaseObjects, rows: Mapping[Relation, int]) -> DatabaseObjects:
    """The same objects with these counts and no others."""
    tables = [msgspec.structs.replace(table, rows=rows.get((table.schema, table.name))) for table in objects.tables]
    return msgspec.structs.replace(objects, tables=tables)


def exact_counts(databases: Mapping[str, DatabaseObjects], *, unlogged: bool) -> dict[str, int]:
    """Rows by `database.schema.table`, of every table that was counted and that a restore brings back just so.

    Not of materialised views, which a restore fills anew, nor of extensions' own tables, of which a dump has a part.
    `unlogged` says whether backups have the rows of unlogged tables.
    """
    return {
        count_name(database, table.schema, table.name): table.rows
        for database, objects in databases.items()
        for table in objects.tables
        if table.rows is not None and table.kind == "table" and not table.of_extension and (unlogged or not table.unlogged)
    }


def count_name(*parts: str) -> str:
    """Names joined by dots, each in quotes unless it is plain: `shop."ware house".items`."""
    return ".".join(part if _PLAIN_NAME.fullmatch(part) else quote_identifier(part) for part in parts)


def _parse_counts(output: str) -> dict[int, int]:
    counts: dict[int, int] = {}
    for line in output.splitlines():
        index, bar, count = line.partition("|")
        if bar and index.isdecimal() and count.isdecimal():
            counts[int(index)] = int(count)
    return counts
