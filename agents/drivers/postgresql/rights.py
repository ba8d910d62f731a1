"""What a dump is going to need, looked up before its first byte: pg_dump itself finds out at the end of hours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from agents.drivers.postgresql.discovery import ClusterFacts
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import quote_identifier, sql
from contracts.errors import RunFailed

_EXAMPLES: Final = 5
_READ_ALL_SINCE: Final = 14


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of one database that cannot be dumped: how many, and the first few."""

    count: int
    first: list[str]


class DatabaseRights(msgspec.Struct, frozen=True, kw_only=True):
    """What our role cannot read in one database."""

    unreadable: Missing
    row_filtered: Missing
    """Tables with row-level security that applies to our role."""
    unreadable_large_objects: Missing
    user_mappings: int
    unlogged_tables: int


# What pg_dump locks and reads: tables and sequences that no extension brought along, and extensions' configuration tables.
_RIGHTS = """
WITH relation AS MATERIALIZED (
  SELECT c.oid, c.relkind, c.relpersistence, c.relowner, c.relrowsecurity, c.relforcerowsecurity,
         format('%I.%I', n.nspname, c.relname) AS name,
         CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT') ELSE has_table_privilege(c.oid, 'SELECT') END
           AND has_schema_privilege(n.oid, 'USAGE') AS readable
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'S') AND c.relpersistence <> 't'
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND (NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
         OR c.oid IN (SELECT unnest(extconfig) FROM pg_extension))
),
filtered AS (
  SELECT name FROM relation
  WHERE relrowsecurity AND relkind IN ('r', 'p') AND NOT {bypasses_rls}
    AND (relforcerowsecurity OR NOT pg_has_role(relowner, 'USAGE'))
),
large_object AS (
  SELECT oid::text AS name FROM pg_largeobject_metadata o
  WHERE NOT {is_superuser} AND NOT current_setting('lo_compat_privileges')::bool AND NOT pg_has_role(lomowner, 'USAGE')
    AND NOT EXISTS (SELECT FROM aclexplode(o.lomacl) a WHERE a.privilege_type = 'SELECT'
                    AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))
)
SELECT json_build_object(
  'unreadable', (SELECT json_build_object('count', count(*), 'first', {first:sql}) FROM relation WHERE readable IS FALSE),
  'row_filtered', (SELECT json_build_object('count', count(*), 'first', {first:sql}) FROM filtered),
  'unreadable_large_objects', (SELECT json_build_object('count', count(*), 'first', {first:sql}) FROM large_object),
  'user_mappings', (SELECT count(*) FROM pg_user_mappings),
  'unlogged_tables', (SELECT count(*) FROM relation WHERE relpersistence = 'u' AND relkind = 'r'))
"""
_FIRST = f"coalesce((array_agg(name ORDER BY name))[1 : {_EXAMPLES}], '{{}}')"


async def look_at_rights(psql: Psql, cluster: ClusterFacts, database: str) -> DatabaseRights:
    """Raises: RunFailed `engine.*`."""
    select = sql(_RIGHTS, bypasses_rls=cluster.bypasses_rls, is_superuser=cluster.is_superuser, first=_FIRST)
    return await psql.query(
        select, DatabaseRights, f"checking the role's rights in database {database!r}", database=database
    )


def require_rights(cluster: ClusterFacts, rights: Sequence[tuple[str, DatabaseRights]]) -> None:
    """Raises: RunFailed `engine.permission` naming the first objects and the statements that help, for all databases."""
    problems: list[str] = []
    remedies: dict[str, None] = {}
    role = quote_identifier(cluster.user)
    for database, found in rights:
        if found.unreadable.count:
            problems.append(
                f"in {database!r} it may not read {_list(found.unreadable, 'table or sequence', 'tables and sequences')}"
            )
            remedies[_grant_reading(cluster, role)] = None
        if found.row_filtered.count:
            problems.append(
                f"in {database!r} row-level security hides rows of {_list(found.row_filtered, 'table', 'tables')}"
            )
            remedies[f"ALTER ROLE {role} BYPASSRLS;"] = None
        if found.unreadable_large_objects.count:
            objects = _list(found.unreadable_large_objects, "large object", "large objects")
            problems.append(f"in {database!r} it may not read {objects}")
            remedies[f"ALTER ROLE {role} SET lo_compat_privileges = on;"] = None
    if problems:
        raise RunFailed(
            "engine.permission",
            f"role {cluster.user!r} cannot dump everything: {'; '.join(problems[:_EXAMPLES])}. "
            f"As a superuser run: {' '.join(remedies)}",
            detail="\n".join(problems)[:8000],
        )


def require_connect(cluster: ClusterFacts, databases: Sequence[str]) -> None:
    """Raises: RunFailed `engine.permission` naming the databases that our role may not connect to."""
    role = quote_identifier(cluster.user)
    closed = [found.name for name in databases if (found := cluster.database(name)) is not None and not found.connectable]
    if closed:
        grants = " ".join(f"GRANT CONNECT ON DATABASE {quote_identifier(name)} TO {role};" for name in closed[:_EXAMPLES])
        more = f" and {len(closed) - _EXAMPLES} more" if len(closed) > _EXAMPLES else ""
        names = ", ".join(map(repr, closed[:_EXAMPLES]))
        raise RunFailed(
            "engine.permission",
            f"role {cluster.user!r} may not connect to {names}{more}: exclude them, or as a superuser run: {grants}",
        )


def warn_of_rights(cluster: ClusterFacts, rights: Sequence[tuple[str, DatabaseRights]]) -> list[str]:
    """What a dump leaves out without an error, in sentences."""
    warnings: list[str] = []
    for database, found in rights:
        if found.user_mappings and not cluster.is_superuser:
            what = f"{found.user_mappings} user mapping(s) of foreign servers"
            warnings.append(f"{database!r}: the options (passwords) of {what} are in the dump only if a superuser makes it")
        if found.unlogged_tables and cluster.in_recovery:
            what = f"{found.unlogged_tables} unlogged table(s)"
            warnings.append(f"{database!r}: the rows of {what} are not in a dump that is taken on a replica")
    return warnings


def _grant_reading(cluster: ClusterFacts, role: str) -> str:
    if cluster.major >= _READ_ALL_SINCE:
        return f"GRANT pg_read_all_data TO {role};"
    return (
        f"GRANT USAGE ON SCHEMA … TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA … TO {role}; "
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA … TO {role};"
    )


def _list(missing: Missing, one: str, many: str) -> str:
    if missing.count == 1:
        return f"the {one} {missing.first[0]}"
    more = f" and {missing.count - len(missing.first)} more" if missing.count > len(missing.first) else ""
    return f"{missing.count} {many} ({', '.join(missing.first)}{more})"
