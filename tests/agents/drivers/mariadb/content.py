"""All that is in a MariaDB server, read by PyMySQL: what a restore is compared by."""

from __future__ import annotations

import hashlib
from contextlib import closing
from typing import Any, Final

from pymysql.connections import Connection
from pymysql.cursors import Cursor

SYSTEM: Final = frozenset({"information_schema", "performance_schema", "mysql", "sys"})
OURS: Final = "strongroom_"
"""How the accounts begin that the tests' drivers log in with."""

Rows = list[tuple[Any, ...]]


def read_content(connection: Connection[Cursor]) -> dict[str, Any]:
    """By database: its character set, and each object's definition; tables with their rows, and a digest of the large ones.

    And all accounts with their rights."""
    rows = _rows(connection, "SELECT schema_name, default_character_set_name, default_collation_name, schema_comment FROM "
                 "information_schema.schemata")  # fmt: skip
    return {
        "databases": {row[0]: {"set": row[1:], **_objects(connection, row[0])} for row in rows if row[0] not in SYSTEM},
        "accounts": {account: _account(connection, account) for account in list_accounts(connection)},
    }


def list_accounts(connection: Connection[Cursor]) -> list[tuple[str, str]]:
    """(user, host), host empty for roles; without the tests' own, and those that a server always has."""
    rows = _rows(connection, "SELECT user, IF(is_role = 'Y', '', host) FROM mysql.user ORDER BY user, host")
    return [row for row in rows if row[0] not in ("root", "mariadb.sys", "PUBLIC") and not row[0].startswith(OURS)]


def count_rows(connection: Connection[Cursor]) -> dict[str, int]:
    """By `database.table`, both quoted if a dot or a backtick is in either."""
    counts = {}
    for database, name in _rows(
        connection, "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'BASE TABLE'"
    ):
        if database in SYSTEM:
            continue
        odd = any(character in database + name for character in ".`")
        key = f"{quote(database)}.{quote(name)}" if odd else f"{database}.{name}"
        counts[key] = _rows(connection, f"SELECT COUNT(*) FROM {quote(database)}.{quote(name)}")[0][0]
    return counts


def quote(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _objects(connection: Connection[Cursor], database: str) -> dict[str, Any]:
    found: dict[str, Any] = {"tables": {}, "views": {}, "triggers": {}, "routines": {}, "events": {}}
    connection.select_db(database)  # definitions are shown as seen from there
    for name, kind in _rows(
        connection, "SELECT table_name, table_type FROM information_schema.tables WHERE BINARY table_schema = %s", database
    ):
        if kind == "VIEW":
            found["views"][name] = _rows(connection, f"SHOW CREATE VIEW {quote(name)}")[0][1:]
        elif kind == "SEQUENCE":
            definition = _rows(connection, f"SHOW CREATE SEQUENCE {quote(name)}")[0][1]
            found["tables"][name] = definition, _rows(connection, f"SELECT next_not_cached_value FROM {quote(name)}")
        else:
            found["tables"][name] = _rows(connection, f"SHOW CREATE TABLE {quote(name)}")[0][1], _table(connection, name)
    where = "WHERE BINARY {} = %s"
    triggers = f"SELECT trigger_name, action_order FROM information_schema.triggers {where.format('trigger_schema')}"
    for name, order in _rows(connection, triggers, database):
        shown = _rows(connection, f"SHOW CREATE TRIGGER {quote(name)}")[0]
        found["triggers"][name] = order, shown[1:6]  # without the time it was made at
    routines = f"SELECT routine_name, routine_type FROM information_schema.routines {where.format('routine_schema')}"
    for name, kind in _rows(connection, routines, database):
        found["routines"][kind, name] = _rows(connection, f"SHOW CREATE {kind} {quote(name)}")[0][1:]
    for (name,) in _rows(
        connection, f"SELECT event_name FROM information_schema.events {where.format('event_schema')}", database
    ):
        found["events"][name] = _rows(connection, f"SHOW CREATE EVENT {quote(name)}")[0][1:]
    return found


def _table(connection: Connection[Cursor], name: str) -> Any:
    rows = sorted(_rows(connection, f"SELECT * FROM {quote(name)}"), key=repr)
    if sum(len(value) for row in rows for value in row if isinstance(value, bytes)) > 65536:
        return {row[0]: hashlib.sha256(repr(row).encode()).hexdigest() for row in rows}
    return rows


def _account(connection: Connection[Cursor], account: tuple[str, str]) -> Any:
    user, host = account
    name = f"{_literal(user)}@{_literal(host)}" if host else _literal(user)
    grants = sorted(row[0] for row in _rows(connection, f"SHOW GRANTS FOR {name}"))
    roles = sorted(_rows(connection, "SELECT host, user, role, admin_option FROM mysql.roles_mapping WHERE role = %s", user))
    if not host:
        return grants, [row for row in roles if row[1] != "root" and not row[1].startswith(OURS)]
    default = _rows(connection, "SELECT default_role FROM mysql.user WHERE user = %s AND host = %s", user, host)
    return _rows(connection, f"SHOW CREATE USER {name}"), grants, default


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _rows(connection: Connection[Cursor], statement: str, *parameters: Any) -> Rows:
    with closing(connection.cursor()) as cursor:
        cursor.execute(statement, parameters or None)
        return list(cursor.fetchall())
