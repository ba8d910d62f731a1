"""What is in a database, object by object, for people who look for something and for comparing after a restore.

Bounded in size and in time, and never a reason for a backup to fail: what was left out is said.
"""

from __future__ import annotations

from typing import Final

import msgspec

from agents.drivers.postgresql.counts import count_rows, countable_tables, with_rows
from agents.drivers.postgresql.discovery import DatabaseFacts
from agents.drivers.postgresql.objects import DatabaseObjects, References
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import sql
from contracts.errors import RunFailed

MAX_TABLES: Final = 2000
"""Listed per database, the largest ones."""
_EVERY_TABLE: Final = 100_000
"""Listed where a backup's counts are to be found again: other tables may be the largest ones after a restore."""
MAX_NAMES: Final = 1000
"""Schemas, sequences and extensions listed per database."""
_INVENTORY_TIMEOUT_S: Final = 60.0
_LOCK_TIMEOUT_S: Final = 2.0


# {size} is pg_table_size, which waits for locks, or a figure of the last VACUUM, which does not.
_OBJECTS = """
WITH relation AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.reltuples, c.relpages, c.reltoastrelid,
         EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
           AS of_extension
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
     SELECT nspname AS schema, relname AS name, bytes, relpersistence = 'u' AS unlogged, of_extension,
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
    psql: Psql, database: DatabaseFacts, *, in_recovery: bool, count_s: float, every_table: bool = False
) -> tuple[DatabaseObjects, list[str]]:
    """The database's objects, and what had to be left out of them.

    Rows are counted for `count_s` at most, of tables that are not large, or of every table.  Raises: RunFailed `engine.*`.
    """
    warnings: list[str] = []
    max_tables = _EVERY_TABLE if every_table else MAX_TABLES
    try:
        objects = await _query_objects(psql, database.name, "pg_table_size(oid)", max_tables)
    except RunFailed:
        # Somebody holds a table exclusively, or there are very many of them: figures of the last VACUUM have to do.
        objects = await _query_objects(psql, database.name, _ESTIMATED_SIZE, max_tables)
        warnings.append(f"{database.name!r}: sizes in the inventory are those of the last VACUUM, since a table is locked")
    if objects.table_count > len(objects.tables):
        left_out = objects.table_count - len(objects.tables)
        warnings.append(f"{database.name!r}: the inventory leaves out {left_out} of the smallest tables")
    countable = countable_tables(objects.tables, in_recovery=in_recovery, every_table=every_table)
    return with_rows(objects, await count_rows(psql, database.name, countable, budget_s=count_s)), warnings


async def look_at_references(psql: Psql, database: str) -> References:
    """Raises: RunFailed `engine.*`."""
    return await psql.query(_REFERENCES, References, f"looking for roles that {database!r} refers to", database=database)


async def _query_objects(psql: Psql, database: str, size: str, max_tables: int) -> DatabaseObjects:
    select = sql(_OBJECTS, size=size, max_names=MAX_NAMES, max_tables=max_tables)
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
