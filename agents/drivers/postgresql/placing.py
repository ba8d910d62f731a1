"""Making, swapping and dropping whole databases.

The swap is one transaction of two renames: cut anywhere, the target is either the old database or the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from agents.drivers.postgresql.attributes import DatabaseAttributes
from agents.drivers.postgresql.errors import StatementFailed
from agents.drivers.postgresql.naming import UNFINISHED_NAMES
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import quote_identifier, quote_literal, sql
from agents.drivers.renaming import RESTORING
from contracts.errors import RunFailed

log = structlog.get_logger()

UNFINISHED_COMMENT: Final = "Strongroom: unfinished restore, safe to drop; run "
_IN_USE: Final = "55006"
_SWAP_ATTEMPTS: Final = 5
_CREATE_TIMEOUT_S: Final = 300.0
_SWAP_TIMEOUT_S: Final = 60.0
_DROP_TIMEOUT_S: Final = 300.0
_FORCE_SINCE: Final = 13
_PROVIDER_SINCE: Final = 15
_RULES_SINCE: Final = 16


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What people put into a database, in figures."""

    relations: int
    functions: int
    types: int
    schemas: int
    large_objects: int

    @property
    def empty(self) -> bool:
        return not any((self.relations, self.functions, self.types, self.schemas, self.large_objects))

    def __str__(self) -> str:
        figures = {
            "tables, views and sequences": self.relations,
            "functions": self.functions,
            "types": self.types,
            "schemas": self.schemas,
            "large objects": self.large_objects,
        }
        return ", ".join(f"{count} {what}" for what, count in figures.items() if count) or "nothing"


# Tables count even if an extension made them: some keep data there.
_CONTENTS = """
WITH member AS MATERIALIZED (SELECT classid::regclass::text AS kind, objid FROM pg_depend WHERE deptype = 'e'),
space AS MATERIALIZED (SELECT oid, nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
SELECT json_build_object(
  'relations', (SELECT count(*) FROM pg_class c JOIN space ON space.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'S', 'v', 'f') AND c.relpersistence <> 't'
      AND (c.relkind IN ('r', 'p', 'm') OR c.oid NOT IN (SELECT objid FROM member WHERE kind = 'pg_class'))),
  'functions', (SELECT count(*) FROM pg_proc p JOIN space ON space.oid = p.pronamespace
    WHERE p.oid NOT IN (SELECT objid FROM member WHERE kind = 'pg_proc')),
  'types', (SELECT count(*) FROM pg_type t JOIN space ON space.oid = t.typnamespace
    WHERE t.typtype IN ('d', 'e', 'r') AND t.oid NOT IN (SELECT objid FROM member WHERE kind = 'pg_type')),
  'schemas', (SELECT count(*) FROM space
    WHERE nspname <> 'public' AND oid NOT IN (SELECT objid FROM member WHERE kind = 'pg_namespace')),
  'large_objects', (SELECT count(*) FROM pg_largeobject_metadata))
"""
_NAMES_OF = "SELECT coalesce(json_object_agg(oid::bigint, datname), '{{}}') FROM pg_database WHERE oid IN ({oids:sql})"
_LEFTOVERS = """
SELECT coalesce(json_agg(datname), '[]') FROM pg_database d
WHERE starts_with(datname, {prefix}) AND starts_with(shobj_description(oid, 'pg_database'), {comment})
  AND pg_has_role(datdba, 'USAGE') AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)
"""
_TERMINATE = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = {database} AND pid <> pg_backend_pid()
"""


async def look_at_contents(psql: Psql, database: str) -> Contents:
    """Raises: RunFailed `engine.*`."""
    return await psql.query(_CONTENTS, Contents, f"looking what database {database!r} holds", database=database)


def admin_database(psql: Psql, *touched: str) -> str:
    """A database to be connected to while `touched` are renamed or dropped, which nobody may be connected to."""
    for name in (psql.connection.database, "postgres"):
        if name not in touched:
            return name
    return "template1"


def create_statement(
    name: str, attributes: DatabaseAttributes, *, owner: str | None, tablespace: str | None, server_major: int
) -> str:
    """`CREATE DATABASE` as faithful as the server's version allows.  From template0: the others may hold objects already."""
    options = ["TEMPLATE = template0", f"ENCODING = {quote_literal(attributes.encoding)}"]
    if attributes.lc_collate:
        options.append(f"LC_COLLATE = {quote_literal(attributes.lc_collate)}")
        options.append(f"LC_CTYPE = {quote_literal(attributes.lc_ctype)}")
    if server_major >= _PROVIDER_SINCE:
        options.append(f"LOCALE_PROVIDER = {quote_literal(attributes.locale_provider)}")
        if attributes.locale and attributes.locale_provider in ("icu", "builtin"):
            options.append(f"{attributes.locale_provider.upper()}_LOCALE = {quote_literal(attributes.locale)}")
        if attributes.icu_rules and server_major >= _RULES_SINCE:
            options.append(f"ICU_RULES = {quote_literal(attributes.icu_rules)}")
    if owner is not None:
        options.append(f"OWNER = {quote_identifier(owner)}")
    if tablespace is not None:
        options.append(f"TABLESPACE = {quote_identifier(tablespace)}")
    return f"CREATE DATABASE {quote_identifier(name)} WITH {' '.join(options)}"


async def create_database(psql: Psql, name: str, create: str, *, admin: str, run_id: str) -> int:
    """Makes a database that says of itself that it is unfinished; its oid."""
    comment = f"COMMENT ON DATABASE {quote_identifier(name)} IS {quote_literal(UNFINISHED_COMMENT + run_id)}"
    await psql.execute([create, comment], f"creating database {name!r}", database=admin, timeout_s=_CREATE_TIMEOUT_S)
    oid = await oid_of(psql, name, admin=admin)
    if oid is None:
        raise RunFailed("restore.failed", f"database {name!r} vanished as soon as it was created")
    return oid


async def oid_of(psql: Psql, name: str, *, admin: str) -> int | None:
    select = sql("SELECT oid::bigint FROM pg_database WHERE datname = {name}", name=name)
    text = (await psql.script([select], f"looking for database {name!r}", database=admin)).stdout.strip()
    return int(text) if text else None


async def names_of(psql: Psql, oids: list[int], *, admin: str) -> dict[int, str]:
    """The current names of databases that still exist, by oid."""
    select = sql(_NAMES_OF, oids=", ".join(str(int(oid)) for oid in oids))
    return await psql.query(select, dict[int, str], "looking for databases", database=admin)


async def swap_in(
    psql: Psql, *, new: str, target: str, old: str | None, terminate: bool, admin: str, then: Sequence[str] = ()
) -> None:
    """`new` becomes `target`, and what was `target` becomes `old` (None: there is none), and `then` runs; all or nothing.

    With `terminate`, whoever is connected to `target` is disconnected; otherwise that is an error after 5 s.
    Raises: StatementFailed with `55006` when somebody is connected, `42P04` when the name is taken; RunFailed.
    """
    statements = []
    if old is not None:
        if terminate:
            statements.append(_terminate_statement(target))
        statements.append(f"ALTER DATABASE {quote_identifier(target)} RENAME TO {quote_identifier(old)}")
    statements.append(f"ALTER DATABASE {quote_identifier(new)} RENAME TO {quote_identifier(target)}")
    statements += then
    doing = f"putting {new!r} in the place of {target!r}"
    for attempt in range(1, _SWAP_ATTEMPTS + 1):
        try:
            await psql.execute(statements, doing, database=admin, timeout_s=_SWAP_TIMEOUT_S, atomic=True)
            return
        except StatementFailed as exc:
            # Somebody may connect again between both statements.
            if exc.sqlstate != _IN_USE or not terminate or attempt == _SWAP_ATTEMPTS:
                raise


async def drop_database(psql: Psql, name: str, *, admin: str, server_major: int) -> None:
    """Drops it with everybody who is connected to it; does nothing when there is none."""
    quoted = quote_identifier(name)
    select = sql("SELECT datistemplate FROM pg_database WHERE datname = {name}", name=name)
    state = (await psql.script([select], f"looking for database {name!r}", database=admin)).stdout.strip()
    if not state:
        return
    statements = [f"ALTER DATABASE {quoted} IS_TEMPLATE false"] if state == b"t" else []
    if server_major >= _FORCE_SINCE:
        statements.append(f"DROP DATABASE IF EXISTS {quoted} WITH (FORCE)")
    else:
        statements += [_terminate_statement(name), f"DROP DATABASE IF EXISTS {quoted}"]
    await psql.execute(statements, f"dropping database {name!r}", database=admin, timeout_s=_DROP_TIMEOUT_S)


async def drop_leftovers(psql: Psql, target: str, *, admin: str, server_major: int) -> None:
    """Drops what restores to this target left behind when their agent was killed: marked as unfinished, nobody in it."""
    select = sql(_LEFTOVERS, prefix=UNFINISHED_NAMES.prefix(target, RESTORING), comment=UNFINISHED_COMMENT)
    for name in await psql.query(select, list[str], "looking for unfinished restores", database=admin):
        await drop_database(psql, name, admin=admin, server_major=server_major)
        log.warning("restore.leftover_dropped", database=name)


def _terminate_statement(database: str) -> str:
    return sql(_TERMINATE, database=database)
