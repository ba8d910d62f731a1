"""What a database holds, and moving all of it: tables by one RENAME, the rest by dropping and making it anew.

MariaDB cannot rename a database.  One RENAME TABLE moves any number of tables between databases, all or none, together with
their foreign keys, but refuses a table that has triggers, and views.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.errors import redactor
from agents.drivers.mariadb.option_file import login
from agents.drivers.mariadb.quoting import qualified, quote_identifier, quote_literal, same_name
from agents.drivers.mariadb.tools import find_program
from agents.processes import Command, OutputTooLargeError, run
from contracts.errors import RunFailed

_SCRIPT_TIMEOUT_S: Final = 600.0
_DROPS: Final = {"view": "VIEW", "PROCEDURE": "PROCEDURE", "FUNCTION": "FUNCTION", "event": "EVENT", "PACKAGE": "PACKAGE"}
_OBJECTS: Final = """
SELECT JSON_OBJECT('kind', IF(table_type IN ('VIEW'), 'view', 'table'), 'name', table_name)
  FROM information_schema.tables WHERE {table_schema}
UNION ALL SELECT JSON_OBJECT('kind', 'trigger', 'name', trigger_name)
  FROM information_schema.triggers WHERE {trigger_schema}
UNION ALL SELECT JSON_OBJECT('kind', routine_type, 'name', routine_name)
  FROM information_schema.routines WHERE {routine_schema} AND routine_type <> 'PACKAGE BODY'
UNION ALL SELECT JSON_OBJECT('kind', 'event', 'name', event_name)
  FROM information_schema.events WHERE {event_schema}
"""


class Named(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    name: str


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What is in a database, by name."""

    tables: list[str]
    """Sequences among them."""
    views: list[str]
    triggers: list[str]
    others: list[Named]
    """Procedures, functions, packages and events."""

    @property
    def empty(self) -> bool:
        return not (self.tables or self.views or self.triggers or self.others)

    def same_as(self, other: Contents) -> bool:
        """By name."""
        ours, theirs = ((*one.tables, *one.views, *one.triggers, *one.others) for one in (self, other))
        return set(ours) == set(theirs) and len(ours) == len(theirs)

    def __str__(self) -> str:
        figures: dict[str, list[str] | list[Named]] = {
            "tables": self.tables,
            "views": self.views,
            "routines and events": self.others,
        }
        return ", ".join(f"{len(found)} {what}" for what, found in figures.items() if found) or "nothing"


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    charset: str
    collation: str
    comment: str = ""


_SCHEMA: Final = """
SELECT JSON_OBJECT('name', schema_name, 'charset', default_character_set_name, 'collation', default_collation_name,
  'comment', schema_comment)
FROM information_schema.schemata WHERE {}
"""
_FOREIGN: Final = """
SELECT JSON_OBJECT('name', CONCAT(constraint_schema, '.', table_name)) FROM information_schema.referential_constraints
WHERE {unique_constraint_schema} AND NOT ({constraint_schema})
"""


async def look_at_schema(client: Client, name: str) -> Schema | None:
    found = await client.rows(_SCHEMA.format(same_name("schema_name", name)), Schema, f"looking for database {name!r}")
    return found[0] if found else None


async def schemas_beginning(client: Client, prefix: str) -> list[Schema]:
    condition = f"BINARY LEFT(schema_name, {len(prefix)}) = {quote_literal(prefix)}"
    return await client.rows(_SCHEMA.format(condition), Schema, "looking for what earlier restores left")


async def look_at_contents(client: Client, database: str) -> Contents:
    """Raises: RunFailed `engine.*`."""
    columns = ("table_schema", "trigger_schema", "routine_schema", "event_schema")
    select = _OBJECTS.format(**{column: same_name(column, database) for column in columns})
    found = await client.rows(select, Named, f"looking what database {database!r} holds")
    by_kind: dict[str, list[str]] = {"table": [], "view": [], "trigger": []}
    others = [one for one in found if one.kind not in by_kind]
    for one in found:
        if one.kind in by_kind:
            by_kind[one.kind].append(one.name)
    return Contents(tables=by_kind["table"], views=by_kind["view"], triggers=by_kind["trigger"], others=others)


class RoutineRight(msgspec.Struct, frozen=True, kw_only=True):
    user: str
    host: str
    kind: str
    routine: str
    rights: str

    @property
    def account(self) -> str:
        return f"{self.user}@{self.host}" if self.host else self.user


async def rights_on_routines(client: Client, database: str) -> list[RoutineRight]:
    """Which go with a routine when it is dropped."""
    select = (
        "SELECT JSON_OBJECT('user', user, 'host', host, 'kind', routine_type, 'routine', routine_name, 'rights', "  # noqa: S608
        f"CONVERT(proc_priv USING utf8mb4)) FROM mysql.procs_priv WHERE {same_name('db', database)}"
    )
    return await client.rows(select, RoutineRight, f"looking who may call the routines of {database!r}")


def give_right(database: str, right: RoutineRight) -> str:
    """The statement that gives it again."""
    rights = [one for one in right.rights.upper().split(",") if one not in ("", "GRANT")]
    with_grant = " WITH GRANT OPTION" if "GRANT" in right.rights.upper().split(",") else ""
    account = f"{quote_literal(right.user)}@{quote_literal(right.host)}" if right.host else quote_literal(right.user)
    what = f"{right.kind} {qualified(database, right.routine)}"
    return f"GRANT {', '.join(rights) or 'USAGE'} ON {what} TO {account}{with_grant}"


async def broken_views(client: Client, database: str) -> list[str]:
    """Those that refer to what does not exist any more: they can neither be dumped nor made."""
    select = (
        "SELECT JSON_OBJECT('name', table_name) FROM information_schema.tables "  # noqa: S608
        f"WHERE {same_name('table_schema', database)} AND table_type = 'VIEW' AND table_comment <> 'VIEW' "
        "AND table_rows IS NULL "  # a column for which views are opened; else the comment says nothing
        "ORDER BY BINARY table_name"
    )
    return [row["name"] for row in await client.rows(select, dict[str, str], f"looking at the views of {database!r}")]


async def referring_tables(client: Client, database: str) -> list[str]:
    """Tables of other databases that have foreign keys into this one."""
    select = _FOREIGN.format(
        unique_constraint_schema=same_name("unique_constraint_schema", database),
        constraint_schema=same_name("constraint_schema", database),
    )
    return [row["name"] for row in await client.rows(select, dict[str, str], f"looking who refers to {database!r}")]


def drop_triggers(database: str, contents: Contents) -> list[str]:
    return [f"DROP TRIGGER IF EXISTS {qualified(database, name)}" for name in contents.triggers]


def drop_all_but_tables(database: str, contents: Contents) -> list[str]:
    views = [f"DROP VIEW IF EXISTS {qualified(database, name)}" for name in contents.views]
    others = [f"DROP {_DROPS[one.kind]} IF EXISTS {qualified(database, one.name)}" for one in contents.others]
    return views + others


def rename_tables(moves: Sequence[tuple[str, str, Sequence[str]]]) -> list[str]:
    """One statement for all (from, to, tables), in that order; none when there are no tables."""
    renames = [
        f"{qualified(source, name)} TO {qualified(destination, name)}"
        for source, destination, names in moves
        for name in names
    ]
    return [f"RENAME TABLE {', '.join(renames)}"] if renames else []


async def placeholder_views(client: Client, source: str, destination: str) -> list[str]:
    """Statements for views with the columns of the source's, so that views can be made that select from later ones."""
    select = (
        "SELECT JSON_OBJECT('view', c.table_name, 'column', c.column_name) FROM information_schema.columns c "  # noqa: S608
        "JOIN information_schema.views v ON v.table_schema = c.table_schema AND v.table_name = c.table_name "
        f"WHERE {same_name('c.table_schema', source)} ORDER BY BINARY c.table_name, c.ordinal_position"
    )
    columns: dict[str, list[str]] = {}
    for row in await client.rows(select, dict[str, str], "looking at the views of the dump"):
        columns.setdefault(row["view"], []).append(row["column"])
    return [
        f"CREATE VIEW {qualified(destination, view)} AS SELECT "
        + ", ".join(f"NULL AS {quote_identifier(name)}" for name in names)
        for view, names in columns.items()
    ]


async def fix_defaults(client: Client, source: str, destination: str) -> list[str]:
    """Statements for columns of the destination whose defaults still name the source's sequences."""
    select = (
        "SELECT JSON_OBJECT('table', table_name, 'column', column_name, 'default', column_default) "  # noqa: S608
        f"FROM information_schema.columns WHERE {same_name('table_schema', destination)} "
        "AND (column_default LIKE '%nextval(%' OR column_default LIKE '%lastval(%')"
    )
    old, new = f"({quote_identifier(source)}.", f"({quote_identifier(destination)}."
    return [
        f"ALTER TABLE {qualified(destination, row['table'])} ALTER COLUMN {quote_identifier(row['column'])} "
        f"SET DEFAULT ({row['default'].replace(old, new)})"
        for row in await client.rows(select, dict[str, str], "looking at defaults by sequences")
        if old in row["default"]
    ]


async def script_of_triggers(client: Client, database: str) -> bytes:
    """As mariadb-dump writes them: with definers, modes and character sets."""
    return await _script(client, ["--no-data", "--no-create-info", "--triggers", "--", database])


async def script_of_others(client: Client, database: str, views: Sequence[str]) -> bytes:
    """Triggers, events, routines and then views, as mariadb-dump writes them; without views that are broken."""
    broken = await broken_views(client, database)
    without = [f"--ignore-table={database}.{name}" for name in broken]
    arguments = ["--no-data", "--no-create-info", "--triggers", "--events", "--routines", *without, "--", database]
    script = await _script(client, arguments)
    whole = [name for name in views if name not in broken]
    if whole:
        script += await _script(client, ["--no-data", "--skip-triggers", "--", database, *whole])
    return script


async def _script(client: Client, arguments: Sequence[str]) -> bytes:
    with login(client.connection, client.runtime_dir) as given:
        command = Command(
            argv=[
                find_program("mariadb-dump", client.connection.bin_dir),
                given.argument,
                "--no-tablespaces",
                "--skip-lock-tables",
                "--default-character-set=utf8mb4",
                *arguments,
            ],
            package="mariadb-client",
            pass_fds=given.pass_fds,
            redact=redactor(given.secret),
        )
        try:
            finished = await run(command, timeout_s=_SCRIPT_TIMEOUT_S)
        except (TimeoutError, OutputTooLargeError) as exc:
            raise RunFailed("restore.failed", f"the target's triggers, views and routines cannot be read: {exc}") from exc
    if not finished.status.ok:
        what = "the target's triggers, views and routines, which a failed restore would have to bring back, cannot be read"
        raise RunFailed("restore.failed", f"{what}: see the words of mariadb-dump below", detail=finished.stderr or None)
    return b"\n".join(line for line in finished.stdout.split(b"\n") if not line.startswith(b"/*M!999999"))
