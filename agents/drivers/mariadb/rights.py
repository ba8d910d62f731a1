"""What an account may do, read out of SHOW GRANTS, and the statement that gives it what it lacks.  Pure.

Looked at before a dump begins: mariadb-backup misses one of its rights only after all data were sent, and mariadb-dump
leaves triggers out without a word when it may not see them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from agents.drivers.mariadb.quoting import quote_account, quote_identifier
from contracts.errors import RunFailed

DUMP_RIGHTS: Final = ("SELECT", "SHOW VIEW", "TRIGGER", "EVENT")
"""On every database that mariadb-dump takes."""
_GRANT: Final = re.compile(r"GRANT (?P<rights>.+?) ON (?P<database>\*|`(?:[^`]|``)*`)\.\* TO ", re.DOTALL)


@dataclass(frozen=True)
class Grants:
    """Rights on everything, and by pattern of a database's name."""

    everywhere: frozenset[str]
    databases: dict[str, frozenset[str]] = field(default_factory=dict)

    def has(self, right: str, database: str | None = None) -> bool:
        """Whether the account has it everywhere, or at least on that database."""
        if self._holds(self.everywhere, right):
            return True
        if database is None:
            return False
        return any(self._holds(rights, right) and _matches(database, like) for like, rights in self.databases.items())

    def missing(self, rights: Iterable[str], database: str | None = None) -> list[str]:
        return [right for right in rights if not self.has(right, database)]

    @staticmethod
    def _holds(rights: frozenset[str], right: str) -> bool:
        return right in rights or "ALL PRIVILEGES" in rights


def parse_grants(lines: Iterable[str]) -> Grants:
    """Of the lines of SHOW GRANTS, which has those of the roles in force as well."""
    everywhere: set[str] = set()
    databases: dict[str, frozenset[str]] = {}
    for line in lines:
        found = _GRANT.match(line)
        if found is None:
            continue
        rights = {right.strip().upper() for right in found["rights"].split(",")}
        if found["database"] == "*":
            everywhere |= rights
        else:
            like = found["database"][1:-1].replace("``", "`")
            databases[like] = databases.get(like, frozenset()) | rights
    return Grants(frozenset(everywhere), databases)


def physical_rights(*, log_bin: bool) -> list[str]:
    """What mariadb-backup needs."""
    return ["RELOAD", "PROCESS", *(["BINLOG MONITOR"] if log_bin else [])]


def logical_rights(*, log_bin: bool) -> list[str]:
    """What mariadb-dump needs on the server, beside `DUMP_RIGHTS`: with a binary log, the position at the dump."""
    return ["RELOAD", "BINLOG MONITOR"] if log_bin else []


def lacking(account: str, rights: Sequence[str], purpose: str, *, database: str | None = None) -> RunFailed:
    """`engine.permission` with the statement that grants the rights."""
    on = "*" if database is None else quote_identifier(database)
    where = "" if database is None else f" on database {database!r}"
    statement = f"GRANT {', '.join(rights)} ON {on}.* TO {quote_account(account)}"
    return RunFailed(
        "engine.permission",
        f"the account {account!r} lacks {', '.join(rights)}{where}, which {purpose} needs: {statement}; "
        "deploy/mariadb/backup-account.sql grants all that backups need",
    )


def _matches(database: str, like: str) -> bool:
    """Database names in grants are patterns: `_` and `%` match anything unless escaped by a backslash."""
    pattern, escaped = "", False
    for character in like:
        if escaped:
            pattern, escaped = pattern + re.escape(character), False
        elif character == "\\":
            escaped = True
        else:
            pattern += {"%": ".*", "_": "."}.get(character, re.escape(character))
    return re.fullmatch(pattern, database, re.DOTALL) is not None
