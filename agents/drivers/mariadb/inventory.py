"""What is in a server: databases, tables with their engines and sizes, and rows, counted as far as time allows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.errors import StatementFailed
from agents.drivers.mariadb.quoting import qualified, quote_identifier, quote_literal
from contracts.errors import StrongroomError

SYSTEM_DATABASES: Final = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
COUNT_BUDGET_S: Final = 60.0
"""For counting the rows of all tables together, the smallest first."""
_TRANSACTIONAL: Final = frozenset({"InnoDB", "ROCKSDB", "TokuDB"})


class Database(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    charset: str
    collation: str
    comment: str = ""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    database: str
    name: str
    type: str
    """`BASE TABLE`, `SYSTEM VERSIONED`, `SEQUENCE`, `VIEW` …"""
    engine: str | None = None
    rows: int | None = None
    """The server's estimate."""
    size_bytes: int = 0

    @property
    def holds_rows(self) -> bool:
        return self.type in ("BASE TABLE", "SYSTEM VERSIONED")

    @property
    def is_transactional(self) -> bool:
        return self.type == "SEQUENCE" or self.engine in _TRANSACTIONAL


class Extras(msgspec.Struct, frozen=True, kw_only=True):
    """Of one database: what is neither table nor view."""

    database: str
    routines: int
    triggers: int
    events: int


_DATABASES: Final = """
SELECT JSON_OBJECT('name', schema_name, 'charset', default_character_set_name, 'collation', default_collation_name,
  'comment', schema_comment)
FROM information_schema.schemata ORDER BY BINARY schema_name
"""
_TABLES: Final = """
SELECT JSON_OBJECT('database', table_schema, 'name', table_name, 'type', table_type, 'engine', engine, 'rows', table_rows,
  'size_bytes', COALESCE(data_length, 0) + COALESCE(index_length, 0))
FROM information_schema.tables WHERE table_schema NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
ORDER BY BINARY table_schema, BINARY table_name
"""
_EXTRAS: Final = """
SELECT JSON_OBJECT('database', schema_name,
  'routines', (SELECT COUNT(*) FROM information_schema.routines WHERE routine_schema = schema_name),
  'triggers', (SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = schema_name),
  'events', (SELECT COUNT(*) FROM information_schema.events WHERE event_schema = schema_name))
FROM information_schema.schemata WHERE schema_name NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
"""


_RIGHTS: Final = ("db", "tables_priv", "columns_priv", "procs_priv", "roles_mapping")
_OF_PUBLIC: Final = "SELECT 1 FROM mysql.{} WHERE user = 'PUBLIC' AND host = ''"


async def list_databases(client: Client) -> list[Database]:
    """Those that are people's."""
    found = await client.rows(_DATABASES, Database, "listing its databases")
    return [database for database in found if database.name.lower() not in SYSTEM_DATABASES]


async def list_tables(client: Client) -> list[Table]:
    return await client.rows(_TABLES, Table, "listing its tables")


async def list_extras(client: Client) -> list[Extras]:
    return await client.rows(_EXTRAS, Extras, "listing its routines, triggers and events")


async def list_accounts(client: Client) -> list[str]:
    """`user@host` of each account, and the name of each role.  Raises: RunFailed `engine.permission`."""
    select = (
        "SELECT JSON_OBJECT('name', IF(JSON_VALUE(priv, '$.is_role') = 1, user, CONCAT(user, '@', host))) "
        "FROM mysql.global_priv ORDER BY user, host"
    )
    return [row["name"] for row in await client.rows(select, dict[str, str], "listing its accounts")]


async def public_has_rights(client: Client) -> bool:
    """Whether there are rights that everybody has."""
    given = [*map(_OF_PUBLIC.format, _RIGHTS), _OF_PUBLIC.format("global_priv") + " AND JSON_VALUE(priv, '$.access') > 0"]
    select = f"SELECT JSON_OBJECT('any', EXISTS ({' UNION ALL '.join(given)}) + 0)"
    return bool((await client.row(select, dict[str, int], "looking for rights of PUBLIC"))["any"])


async def count_rows(
    client: Client, tables: Sequence[Table], *, budget_s: float = COUNT_BUDGET_S
) -> tuple[dict[str, int], list[str]]:
    """(rows by table, warnings): exact, and without those for which the time did not suffice, the largest."""
    loop = asyncio.get_running_loop()
    deadline, counts, left_out = loop.time() + budget_s, dict[str, int](), 0
    waiting = sorted((table for table in tables if table.holds_rows), key=lambda table: table.size_bytes)
    for batch in _batches(waiting):
        left_s = deadline - loop.time()
        if left_s <= 1:
            left_out += len(batch)
            continue
        try:
            counts |= await _count(client, batch, timeout_s=left_s)
        except StatementFailed:
            # One that was dropped, is damaged, or takes too long: the others shall be counted nevertheless.
            for table in batch:
                found = await _count_one(client, table, deadline - loop.time()) if len(batch) > 1 else {}
                left_out += not found
                counts |= found
        except StrongroomError as exc:
            if exc.code != "engine.unreachable":
                raise
            left_out += len(batch)
    warnings = [f"the rows of {left_out} table(s) could not be counted within {budget_s:g} s"] if left_out else []
    return dict(sorted(counts.items())), warnings


def object_name(database: str, name: str) -> str:
    """`shop.orders`; quoted where it would not be clear otherwise."""
    if any(character in part for part in (database, name) for character in ".`"):
        return qualified(database, name)
    return f"{database}.{name}"


def describe(
    databases: Sequence[Database], tables: Sequence[Table], extras: Sequence[Extras], counts: dict[str, int]
) -> dict[str, Any]:
    """The inventory's part on what is there."""
    by_database = {found.database: found for found in extras}
    described: dict[str, Any] = msgspec.to_builtins(
        {
            "databases": [
                {
                    "name": database.name,
                    "charset": database.charset,
                    "collation": database.collation,
                    "comment": database.comment,
                    "objects": by_database.get(database.name),
                    "tables": [
                        {
                            "name": table.name,
                            "type": table.type,
                            "engine": table.engine,
                            "size_bytes": table.size_bytes,
                            "rows": counts.get(object_name(table.database, table.name)),
                        }
                        for table in tables
                        if table.database == database.name
                    ],
                }
                for database in databases
            ],
            "counts": counts,
        }
    )
    return described


def _batches(tables: Sequence[Table], *, most: int = 200, most_bytes: int = 64 * 1024 * 1024) -> list[list[Table]]:
    """Many small ones in one session, large ones alone."""
    batches: list[list[Table]] = [[]]
    size = 0
    for table in tables:
        if batches[-1] and (len(batches[-1]) >= most or size + table.size_bytes > most_bytes):
            batches.append([])
            size = 0
        batches[-1].append(table)
        size += table.size_bytes
    return batches if batches[0] else []


async def _count(client: Client, tables: Sequence[Table], *, timeout_s: float) -> dict[str, int]:
    select = "\n;\n".join(
        f"SELECT JSON_OBJECT('name', {quote_literal(object_name(table.database, table.name))}, 'rows', COUNT(*)) "  # noqa: S608
        f"FROM {quote_identifier(table.database)}.{quote_identifier(table.name)}"
        for table in tables
    )
    found = await client.rows(select, _Count, "counting rows", timeout_s=timeout_s)
    return {count.name: count.rows for count in found}


async def _count_one(client: Client, table: Table, left_s: float) -> dict[str, int]:
    if left_s <= 1:
        return {}
    try:
        return await _count(client, [table], timeout_s=left_s)
    except StrongroomError:
        return {}


class _Count(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    rows: int
