"""A database's own settings, grants, connection limit, labels and comment, taken out of its dump.

They stand in the table of contents at the beginning of a custom-format archive, which pg_restore shows only together with
`CREATE DATABASE` under the old name.  So it is asked to write just that as SQL, which is then turned to the new database.
Not kept in the artifact's record, because settings may hold secrets and records are open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agents.drivers.postgresql.quoting import quote_identifier
from agents.drivers.postgresql.statements import Statement, find_keywords, identifier, render, split_statements, starts_with
from agents.drivers.postgresql.tools import Tool
from agents.drivers.private_file import private_file
from agents.processes import Command, OutputTooLargeError, run

_TIMEOUT_S: Final = 60.0
_ENTRY: Final = re.compile(
    rb"^\d+; \d+ \d+ (?:DATABASE PROPERTIES|ACL - DATABASE|COMMENT - DATABASE|SECURITY LABEL - DATABASE) .*$", re.MULTILINE
)


@dataclass(frozen=True)
class Property:
    """One statement for the new database."""

    sql: str = field(repr=False)
    subject: str
    """What it sets, without the value: values may be secret."""
    role: str | None = None
    """The role without which it cannot be applied."""
    needs_roles: bool = False
    """Grants: left out when roles are to be left alone."""
    limits_sessions: bool = False


@dataclass(frozen=True)
class Comment:
    """What is said of the database."""

    literal: str = field(repr=False)

    def on(self, database: str) -> str:
        return f"COMMENT ON DATABASE {quote_identifier(database)} IS {self.literal}"


@dataclass(frozen=True)
class DatabaseProperties:
    """All of a dump, in the order to apply them."""

    settings: list[Property] = field(default_factory=list)
    """`ALTER DATABASE … SET`: before the data, since functions in indexes and views may depend on them."""
    final: list[Property] = field(default_factory=list)
    """Limits, grants, labels: after the data."""
    comment: Comment | None = None


async def read_properties(head: bytes, pg_restore: Tool, runtime_dir: Path) -> bytes | None:
    """The SQL for all of them, under the old name and in the dump's encoding.

    None when `head` does not hold the whole table of contents.
    """
    argv = [pg_restore.path, "--create"]
    listing = await _run(Command(argv=[*argv, "--list"]), head)
    if listing is None:
        return None
    entries = b"".join(entry + b"\n" for entry in _ENTRY.findall(listing))
    with private_file(entries, runtime_dir) as chosen:
        return await _run(Command(argv=[*argv, f"--use-list={chosen.path}", "--file=-"], pass_fds=(chosen.fd,)), head)


async def _run(command: Command, head: bytes) -> bytes | None:
    try:
        finished = await run(command, stdin=head, timeout_s=_TIMEOUT_S)
    except (TimeoutError, OutputTooLargeError):
        return None
    return finished.stdout if finished.status.ok else None


def parse_properties(script: str, database: str) -> DatabaseProperties:
    """The statements, turned to `database`; what is not a database's property is passed over.

    Raises: ValueError for a script that is not what pg_restore writes.
    """
    settings: list[Property] = []
    final: list[Property] = []
    comment: Comment | None = None
    for statement in split_statements(script):
        if starts_with(statement, "COMMENT", "ON", "DATABASE"):
            comment = Comment(statement[-1].text) if statement[-1].kind == "string" else None
        elif (setting := _setting(statement, database)) is not None:
            settings.append(setting)
        elif (other := _label_or_limit(statement, database) or _grant(statement, database)) is not None:
            final.append(other)
    final.sort(key=lambda one: one.limits_sessions)  # last: after it we might not get in ourselves
    return DatabaseProperties(settings, final, comment)


def _setting(statement: Statement, database: str) -> Property | None:
    if starts_with(statement, "ALTER", "DATABASE") and starts_with(statement[3:], "SET"):
        return Property(render(_turned(statement, 2, database)), f"setting {_text(statement, 4)}")
    if starts_with(statement, "ALTER", "ROLE") and starts_with(statement[3:], "IN", "DATABASE"):
        role = statement[2].name
        subject = f"setting {_text(statement, 7)} of role {role!r}"
        return Property(render(_turned(statement, 5, database)), subject, role, needs_roles=True)
    return None


def _label_or_limit(statement: Statement, database: str) -> Property | None:
    if starts_with(statement, "ALTER", "DATABASE"):  # but not its OWNER, which CREATE DATABASE has set
        for keyword, subject in (("CONNECTION", "connection limit"), ("IS_TEMPLATE", "template mark")):
            if starts_with(statement[3:], keyword):
                return Property(render(_turned(statement, 2, database)), subject, limits_sessions=True)
    if starts_with(statement, "SECURITY", "LABEL") and (on := find_keywords(statement, "ON", "DATABASE")) >= 0:
        return Property(render(_turned(statement, on + 2, database)), "security label")
    return None


def _grant(statement: Statement, database: str) -> Property | None:
    on = find_keywords(statement, "ON", "DATABASE")
    if on < 0 or statement[0].keyword not in ("GRANT", "REVOKE"):
        return None
    grantee = find_keywords(statement, "TO" if statement[0].keyword == "GRANT" else "FROM") + 1
    role = None if _text(statement, grantee).upper() == "PUBLIC" else statement[grantee].name
    subject = f"{statement[0].keyword} {_text(statement, 1)} on the database"
    return Property(render(_turned(statement, on + 2, database)), subject, role, needs_roles=True)


def _turned(statement: Statement, index: int, database: str) -> Statement:
    """The statement with another name for the database, which stands at `index`."""
    if len(statement) <= index or statement[index].name is None:
        raise ValueError(f"no database name where one should be in: {render(statement[:3])} …")
    return [*statement[:index], identifier(database), *statement[index + 1 :]]


def _text(statement: Statement, index: int) -> str:
    return statement[index].text if 0 <= index < len(statement) else ""
