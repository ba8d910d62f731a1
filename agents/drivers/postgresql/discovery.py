"""What a cluster is and which databases it has, and the choice among them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from agents.drivers.postgresql.errors import StatementFailed
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.tools import major_of
from contracts.errors import RunFailed


class CatalogRow(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of pg_database that not every version has."""

    datlocprovider: str = "c"
    """From 15 on: `c` libc, `i` ICU, `b` builtin."""
    daticulocale: str | None = None
    """15 and 16."""
    datlocale: str | None = None
    """From 17 on."""
    daticurules: str | None = None
    """From 16 on."""


class DatabaseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One row of pg_database, readable."""

    oid: int
    name: str
    owner: str
    encoding: str
    lc_collate: str
    lc_ctype: str
    tablespace: str
    connection_limit: int
    is_template: bool
    allows_connections: bool
    connectable: bool
    """Whether our role has the right CONNECT."""
    size_bytes: int | None
    """Absent when it was not asked for, or must not be known."""
    row: CatalogRow


class ClusterFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A server as our role sees it."""

    version: str
    in_recovery: bool
    user: str
    is_superuser: bool
    bypasses_rls: bool
    may_create_databases: bool
    may_create_roles: bool
    reads_role_passwords: bool
    session_limit: int = -1
    """Of our role; -1 for none."""
    role_count: int
    tablespaces: list[str]
    databases: list[DatabaseFacts]

    @property
    def major(self) -> int:
        return major_of(self.version)

    @property
    def role(self) -> str:
        return "replica" if self.in_recovery else "primary"

    def database(self, name: str) -> DatabaseFacts | None:
        return next((database for database in self.databases if database.name == name), None)


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """Where in the history of which cluster; empty where the server does not tell."""

    system_identifier: str = ""
    lsn: str = ""
    timeline: int | None = None


# row_to_json gives whatever columns the server's version has.
_CLUSTER = """
SELECT json_build_object(
  'version', current_setting('server_version'),
  'in_recovery', pg_is_in_recovery(),
  'user', current_user,
  'is_superuser', r.rolsuper,
  'bypasses_rls', r.rolsuper OR r.rolbypassrls,
  'may_create_databases', r.rolsuper OR r.rolcreatedb,
  'may_create_roles', r.rolsuper OR r.rolcreaterole,
  'reads_role_passwords', has_table_privilege('pg_catalog.pg_authid', 'SELECT'),
  'session_limit', r.rolconnlimit,
  'role_count', (SELECT count(*) FROM pg_roles),
  'tablespaces', (SELECT json_agg(spcname ORDER BY spcname) FROM pg_tablespace),
  'databases', (
    SELECT json_agg(json_build_object(
      'oid', d.oid::bigint,
      'name', d.datname,
      'owner', pg_get_userbyid(d.datdba),
      'encoding', pg_encoding_to_char(d.encoding),
      'lc_collate', d.datcollate,
      'lc_ctype', d.datctype,
      'tablespace', t.spcname,
      'connection_limit', d.datconnlimit,
      'is_template', d.datistemplate,
      'allows_connections', d.datallowconn,
      'connectable', has_database_privilege(d.oid, 'CONNECT'),
      'size_bytes', CASE WHEN {sizes} AND (has_database_privilege(d.oid, 'CONNECT')
                              OR pg_has_role('pg_read_all_stats', 'USAGE')) THEN pg_database_size(d.oid) END,
      'row', row_to_json(d)
    ) ORDER BY d.datname)
    FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace
  ))
FROM pg_roles r WHERE r.rolname = current_user
"""
_POSITION = """
SELECT json_build_object(
  'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', (SELECT timeline_id FROM pg_control_checkpoint()),
  'lsn', CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text)
"""


async def look_at_cluster(psql: Psql, *, sizes: bool = False, database: str | None = None) -> ClusterFacts:
    """`sizes` takes a look at every file of every database.  Raises: RunFailed `engine.*`."""
    select = _CLUSTER.replace("{sizes}", str(sizes).lower())
    return await psql.query(select, ClusterFacts, "looking at the cluster", database=database)


async def find_position(psql: Psql) -> Position:
    """As far as the server tells: managed ones may keep it to themselves."""
    try:
        return await psql.query(_POSITION, Position, "asking for the WAL position")
    except StatementFailed:
        return Position()


def select_databases(
    databases: Iterable[DatabaseFacts], include: Sequence[str], exclude: Sequence[str]
) -> tuple[list[DatabaseFacts], list[str]]:
    """The databases to back up, in order of name, and warnings about patterns that match nothing.

    A pattern also matches the name that it spells.  Templates and databases that take no connections are passed over,
    unless they are included by name: then the first is taken and the second an error.
    Raises: RunFailed `engine.database_not_found` for a name that does not exist, or when nothing is left.
    """
    everything = list(databases)
    chosen: dict[str, DatabaseFacts] = {}
    warnings: list[str] = []
    for pattern in include or ["*"]:
        named = [database for database in everything if database.name == pattern]
        matching = [database for database in everything if fnmatchcase(database.name, pattern) and _is_ordinary(database)]
        if not named and not matching:
            _refuse_literal(pattern, everything)
            warnings.append(f"include pattern {pattern!r} matches no database")
        for database in named:
            if not database.allows_connections:
                raise RunFailed(
                    "engine.database_not_found",
                    f"database {pattern!r} takes no connections, so it cannot be dumped: "
                    f"ALTER DATABASE … ALLOW_CONNECTIONS true, or remove it from `include`",
                )
        chosen.update({database.name: database for database in (*named, *matching)})
    left = [chosen[name] for name in sorted(chosen) if not _matches_any(name, exclude)]
    if not left:
        raise RunFailed("engine.database_not_found", "no database is left to back up: check `include` and `exclude`")
    return left, warnings


def _is_ordinary(database: DatabaseFacts) -> bool:
    return database.allows_connections and not database.is_template


def _matches_any(name: str, patterns: Iterable[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


def _refuse_literal(pattern: str, databases: Iterable[DatabaseFacts]) -> None:
    if not any(character in pattern for character in "*?["):
        names = ", ".join(sorted(database.name for database in databases if _is_ordinary(database)))[:500]
        raise RunFailed(
            "engine.database_not_found", f"the server has no database {pattern!r} (it has: {names}); correct `include`"
        )
