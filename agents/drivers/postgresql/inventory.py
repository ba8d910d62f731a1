"""What is in a database, object by object, for people who look for something and for comparing after a restore.

Bounded in size and in time, and never a reason for a backup to fail: what was left out is said.
"""

from __future__ import annotations

from typing import Final

import msgspec

from agents.drivers.postgresql.discovery import DatabaseFacts
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import sql
from contracts.errors import RunFailed

MAX_TABLES: Final = 2000
"""Listed per database, the largest ones."""
MAX_NAMES: Final = 1000
"""Schemas, sequences and extensions listed per database."""
COUNT_BELOW_BYTES: Final = 16 * 1024 * 1024
"""Tables up to this size have their rows counted."""
COUNT_BUDGET_S: Final = 3.0
"""For counting rows in one database."""
_INVENTORY_TIMEOUT_S: Final = 60.0
_LOCK_TIMEOUT_S: Final = 2.0
_COUNT_MARGIN_S: Final = 15.0


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A table, partitioned table or materialised view."""

    schema: str
    name: str
    kind: str
    """`table`, `partitioned` or `matview`."""
    unlogged: bool = False
    bytes: int
    """Heap and TOAST, without indexes."""
    estimated_rows: int | None = None
    """As the last ANALYZE saw it; absent when there was none."""
    rows: int | None = None
    """Counted just before the dump; absent when the table is large."""


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    version: str
    schema: str


class DatabaseObjects(msgspec.Struct, frozen=True, kw_only=True):
    """One database's objects."""

    schemas: list[str]
    extensions: list[Extension]
    table_count: int
    tables: list[Table]
    sequence_count: int
    sequences: list[str]
    view_count: int
    function_count: int
    large_objects: int
    heap_estimate_bytes: int
    """Of the whole database without indexes and catalogues: about the size of a dump."""


class References(msgspec.Struct, frozen=True, kw_only=True):
    """What outside of it a database's dump refers to, and a restore therefore needs."""

    roles: list[str] = []
    owners: list[str] = []
    """Those of `roles` that own something."""
    bound_roles: list[str] = []
    """Those of `roles` that row-level policies and user mappings name, which cannot be given to anybody else."""
    extensions: list[str] = []
    tablespaces: list[str] = []


# {size} is pg_table_size, which waits for locks, or a figure of the last VACUUM, which does not.
_OBJECTS = """
WITH relation AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.reltuples, c.relpages, c.reltoastrelid
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm', 'S', 'v') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND (NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
         OR c.oid IN (SELECT unnest(extconfig) FROM pg_extension))
),
sized AS MATERIALIZED (
  SELECT *, coalesce({size:sql}, 0) AS bytes FROM relation WHERE relkind IN ('r', 'p', 'm')
),
block AS (SELECT current_setting('block_size')::bigint AS bytes)
SELECT json_build_object(
  'schemas', coalesce((SELECT json_agg(nspname) FROM (
     SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
     ORDER BY nspname LIMIT {max_names}) s), '[]'),
  'extensions', coalesce((SELECT json_agg(x) FROM (
     SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema
     FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname LIMIT {max_names}) x), '[]'),
  'table_count', (SELECT count(*) FROM sized),
  'tables', coalesce((SELECT json_agg(t) FROM (
     SELECT nspname AS schema, relname AS name, bytes, relpersistence = 'u' AS unlogged,
            CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned' ELSE 'matview' END AS kind,
            CASE WHEN reltuples >= 0 THEN reltuples::bigint END AS estimated_rows
     FROM sized ORDER BY bytes DESC, nspname, relname LIMIT {max_tables}) t), '[]'),
  'sequence_count', (SELECT count(*) FROM relation WHERE relkind = 'S'),
  'sequences', coalesce((SELECT json_agg(s.name) FROM (
     SELECT format('%I.%I', nspname, relname) AS name FROM relation WHERE relkind = 'S'
     ORDER BY 1 LIMIT {max_names}) s), '[]'),
  'view_count', (SELECT count(*) FROM relation WHERE relkind = 'v'),
  'function_count', (
     SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT EXISTS (
       SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')),
  'large_objects', (SELECT count(*) FROM pg_largeobject_metadata),
  'heap_estimate_bytes', greatest(0, pg_database_size(current_database()) - (
     SELECT coalesce(sum(c.relpages::bigint), 0) * max(b.bytes) FROM block b LEFT JOIN pg_class c
     ON c.relkind IN ('i', 'r', 't') AND c.relname <> 'pg_largeobject'
        AND (c.relkind = 'i' OR c.oid < 16384))))
"""
# Of the last VACUUM; a table that never saw one counts as empty.
_ESTIMATED_SIZE = (
    "(relpages + coalesce((SELECT t.relpages FROM pg_class t WHERE t.oid = reltoastrelid), 0))"
    "::bigint * current_setting('block_size')::bigint"
)
_DEADLINE = "SELECT extract(epoch FROM clock_timestamp()) + {ms} / 1000.0 AS deadline \\gset"
_COUNT = """
SELECT {index}, (SELECT count(*) FROM ONLY {schema:name}.{table:name})
WHERE extract(epoch FROM clock_timestamp()) < :deadline
"""
# Roles in pg_shdepend, except the bootstrap superuser, whose objects are not recorded there.
_REFERENCES = """
WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database()),
member AS MATERIALIZED (SELECT classid, objid FROM pg_depend WHERE deptype = 'e'),
shared AS (
  SELECT s.refobjid AS role, s.deptype,
         s.deptype = 'r' OR s.classid = 'pg_user_mapping'::regclass AS bound
  FROM pg_shdepend s, here
  WHERE s.refclassid = 'pg_authid'::regclass AND s.dbid = here.oid
    AND NOT (s.deptype = 'o' AND (s.classid = 'pg_extension'::regclass
             OR EXISTS (SELECT FROM member m WHERE m.classid = s.classid AND m.objid = s.objid)))
  UNION ALL
  SELECT 10, 'o', false WHERE EXISTS (
    SELECT FROM (
      SELECT 'pg_class'::regclass AS kind, oid FROM pg_class
        WHERE relowner = 10 AND relkind IN ('r', 'p', 'm', 'S', 'v', 'f') AND relpersistence <> 't'
      UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE proowner = 10
      UNION ALL SELECT 'pg_namespace'::regclass, oid FROM pg_namespace WHERE nspowner = 10 AND nspname !~ '^pg_'
      UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typowner = 10 AND typtype IN ('d', 'e', 'r')
      UNION ALL SELECT 'pg_largeobject'::regclass, oid FROM pg_largeobject_metadata WHERE lomowner = 10
    ) own
    WHERE own.oid >= 16384 AND NOT EXISTS (SELECT FROM member m WHERE m.classid = own.kind AND m.objid = own.oid))
),
named AS (SELECT r.rolname AS name, shared.deptype, shared.bound FROM shared JOIN pg_roles r ON r.oid = shared.role)
SELECT json_build_object(
  'roles', coalesce((SELECT json_agg(DISTINCT name) FROM named), '[]'),
  'owners', coalesce((SELECT json_agg(DISTINCT name) FROM named WHERE deptype = 'o'), '[]'),
  'bound_roles', coalesce((SELECT json_agg(DISTINCT name) FROM named WHERE bound), '[]'),
  'extensions', coalesce((SELECT json_agg(extname ORDER BY extname) FROM pg_extension WHERE extname <> 'plpgsql'), '[]'),
  'tablespaces', coalesce((
     SELECT json_agg(DISTINCT t.spcname) FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace
     WHERE c.oid >= 16384), '[]'))
"""


async def look_at_objects(
    psql: Psql, database: DatabaseFacts, *, in_recovery: bool, count_s: float
) -> tuple[DatabaseObjects, list[str]]:
    """The database's objects, and what had to be left out of them.

    Rows are counted for `count_s` at most, and never longer than `COUNT_BUDGET_S`.  Raises: RunFailed `engine.*`.
    """
    warnings: list[str] = []
    try:
        objects = await _query_objects(psql, database.name, "pg_table_size(oid)")
    except RunFailed:
        # Somebody holds a table exclusively, or there are very many of them: figures of the last VACUUM have to do.
        objects = await _query_objects(psql, database.name, _ESTIMATED_SIZE)
        warnings.append(f"{database.name!r}: sizes in the inventory are those of the last VACUUM, since a table is locked")
    if objects.table_count > len(objects.tables):
        left_out = objects.table_count - len(objects.tables)
        warnings.append(f"{database.name!r}: the inventory leaves out {left_out} of the smallest tables")
    countable = [index for index, table in enumerate(objects.tables) if _is_countable(table, in_recovery=in_recovery)]
    return await _with_row_counts(psql, database.name, objects, countable, min(count_s, COUNT_BUDGET_S)), warnings


async def look_at_references(psql: Psql, database: str) -> References:
    """Raises: RunFailed `engine.*`."""
    return await psql.query(_REFERENCES, References, f"looking for roles that {database!r} refers to", database=database)


async def _query_objects(psql: Psql, database: str, size: str) -> DatabaseObjects:
    select = sql(_OBJECTS, size=size, max_names=MAX_NAMES, max_tables=MAX_TABLES)
    finished = await psql.script(
        [select],
        f"listing the objects of database {database!r}",
        database=database,
        timeout_s=_INVENTORY_TIMEOUT_S,
        lock_timeout_s=_LOCK_TIMEOUT_S,
    )
    try:
        return msgspec.json.decode(finished.stdout, type=DatabaseObjects)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise RunFailed("dump.failed", f"a name in database {database!r} is not valid UTF-8: {exc}") from exc


def _is_countable(table: Table, *, in_recovery: bool) -> bool:
    # A replica has no rows of unlogged tables, and says so in its log.
    return table.kind != "partitioned" and table.bytes <= COUNT_BELOW_BYTES and not (table.unlogged and in_recovery)


async def _with_row_counts(
    psql: Psql, database: str, objects: DatabaseObjects, countable: list[int], budget_s: float
) -> DatabaseObjects:
    """Counts the rows of small tables, smallest first, until the time is up; then the other statements do nothing."""
    if not countable or budget_s <= 0:
        return objects
    statements = [sql(_DEADLINE, ms=int(budget_s * 1000))]
    for index in sorted(countable, key=lambda index: objects.tables[index].bytes):
        table = objects.tables[index]
        statements.append(sql(_COUNT, index=index, schema=table.schema, table=table.name))
    try:
        finished = await psql.script(
            statements,
            f"counting rows in database {database!r}",
            database=database,
            timeout_s=budget_s + _COUNT_MARGIN_S,
            lock_timeout_s=0.2,
            stop_on_error=False,
        )
    except RunFailed:
        return objects
    counts = _parse_counts(finished.stdout.decode(errors="replace"))
    tables = [
        msgspec.structs.replace(table, rows=counts[index]) if index in counts else table
        for index, table in enumerate(objects.tables)
    ]
    return msgspec.structs.replace(objects, tables=tables)


def _parse_counts(output: str) -> dict[int, int]:
    counts: dict[int, int] = {}
    for line in output.splitlines():
        index, bar, count = line.partition("|")
        if bar and index.isdecimal() and count.isdecimal():
            counts[int(index)] = int(count)
    return counts
