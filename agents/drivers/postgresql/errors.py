"""What PostgreSQL's programs say, as Strongroom's codes and as sentences that tell an operator what to do.

Messages of libpq and the programs are English, since they run without translations; those of the server may be in any
language, so a SQLSTATE decides where there is one, and what is not recognised is never taken for something harmless.
"""

from __future__ import annotations

import re
from typing import Final

from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.processes import ExitStatus
from contracts.errors import RunFailed

_NO_ANSWER: Final = re.compile(
    r"Connection refused|timeout expired|could not translate host name|No route to host|Network is unreachable"
    r"|Connection timed out|Connection reset|No such file or directory|server closed the connection unexpectedly"
    r"|could not connect to server|could not send|could not receive|received invalid response|SSL error|SSL SYSCALL"
    r"|server does not support SSL|root certificate file|certificate verify failed|server certificate for"
    r"|the database system is|session is (?:not )?read-only|server is (?:not )?in hot standby"
    r"|too many clients|remaining connection slots|too many connections"
)
_BAD_LOGIN: Final = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|pg_hba\.conf rejects|not permitted to log in"
    r'|role "[^\n]*" does not exist|certificate authentication|private key file'
)
_NO_DATABASE: Final = re.compile(r'database "[^\n]*" does not exist')
_CLOSED_DATABASE: Final = re.compile(r'permission denied for database|database "[^\n]*" is not currently accepting')
_CONNECT_FAILED: Final = re.compile(
    r"connection to (?:server|database) [^\n]*failed|could not connect to (?:server|database)"
)
_LOST: Final = re.compile(
    r"server closed the connection|terminating connection|connection to server was lost|connection not open"
    r"|no connection to the server|SSL SYSCALL|could not receive data"
)
_DENIED: Final = re.compile(r"permission denied|must be (?:superuser|owner|member)|row-level security policy|42501")
_SQLSTATE: Final = re.compile(r"^[^\n]*?: +([0-9A-Z]{5}): (.*)$", re.MULTILINE)


class StatementFailed(RunFailed):
    """The server refused an SQL statement; `sqlstate` says why, in any language."""

    def __init__(self, code: str, message: str, *, sqlstate: str, detail: str | None = None) -> None:
        super().__init__(code, message, detail=detail)
        self.sqlstate = sqlstate


def connection_failed(words: str, connection: PostgreSQLConnection, database: str) -> RunFailed:
    """Why a program could not connect, from what it said."""
    who, where = f"role {connection.user!r}", connection.place
    if _NO_DATABASE.search(words):
        return RunFailed("engine.database_not_found", f"the server at {where} has no database {database!r}", detail=words)
    if _CLOSED_DATABASE.search(words):
        what = f"{who} may not connect to database {database!r}"
        return RunFailed("engine.permission", f"{what}: grant it CONNECT, or exclude the database", detail=words)
    if _BAD_LOGIN.search(words):
        what = f"the server at {where} refused the login of {who}"
        return RunFailed("engine.auth_failed", f"{what}: check password_file and pg_hba.conf", detail=words)
    if _NO_ANSWER.search(words):
        what = f"PostgreSQL at {where} does not answer as it should"
        return RunFailed("engine.unreachable", f"{what}: check that it runs and that host and port are right", detail=words)
    what = f"the server at {where} refused the connection of {who} to database {database!r}"
    return RunFailed("engine.auth_failed", f"{what}: see its words below", detail=words)


def statement_failed(words: str, code: str, doing: str) -> StatementFailed:
    """Why the server refused a statement; `code` is for what has no code of its own, `doing` completes "while …"."""
    found = _SQLSTATE.search(words)
    sqlstate, reason = found.groups() if found else ("", words.partition("\n")[0])
    if sqlstate == "42501":
        code = "engine.permission"
    elif sqlstate == "3D000":
        code = "engine.database_not_found"
    elif sqlstate.startswith(("57P", "08")) or (not sqlstate and _LOST.search(words)):
        code = "engine.unreachable"
    return StatementFailed(code, f"PostgreSQL refused while {doing}: {reason}", sqlstate=sqlstate, detail=words or None)


def no_answer_in_time(connection: PostgreSQLConnection, timeout_s: float, doing: str) -> RunFailed:
    what = f"PostgreSQL at {connection.place} did not answer within {timeout_s:g} s while {doing}"
    return RunFailed("engine.unreachable", f"{what}: look for locks and load on the server")


def dump_failed(
    program: str, status: ExitStatus, words: str, connection: PostgreSQLConnection, database: str, lock_timeout_s: int
) -> RunFailed:
    """Why a dump is not whole."""
    detail = words or None
    what = f"{program} of database {database!r} {status}"
    if _CONNECT_FAILED.search(words):
        return connection_failed(words, connection, database)
    if "conflict with recovery" in words:
        why = "the replica had to cancel it in order to replay the primary's changes"
        remedy = "set hot_standby_feedback = on there, or raise max_standby_streaming_delay, or back up the primary"
        return RunFailed("dump.failed", f"{what}: {why}; {remedy}", detail=detail)
    if "server version mismatch" in words:
        why = "it is older than the server: install the client package of the server's version"
        return RunFailed("engine.version_skew", f"{what}: {why}", detail=detail)
    if "LOCK TABLE" in words and "timeout" in words:
        why = f"it waited {lock_timeout_s} s for a table that another session has locked exclusively"
        return RunFailed("dump.failed", f"{what}: {why}; try again later, or raise lock_timeout_s", detail=detail)
    if "invalid memory alloc request size" in words or "out of memory" in words or "cannot enlarge string buffer" in words:
        why = "a value is too large to be dumped as text (about 500 MB), or memory ran out"
        return RunFailed("dump.failed", f"{what}: {why}", detail=detail)
    if _DENIED.search(words):
        why = "the role lacks a right"
        return RunFailed("engine.permission", f"{what}: {why}; deploy/postgresql/backup-role.sql grants all", detail=detail)
    if _LOST.search(words):
        return RunFailed("dump.failed", f"{what}: the server ended its session; see the server's log", detail=detail)
    if status.signal is not None:
        return RunFailed("dump.failed", f"{what}: somebody, or the kernel for lack of memory, ended it", detail=detail)
    return RunFailed("dump.failed", f"{what}: see its words below", detail=detail)


def restore_failed(
    program: str, status: ExitStatus, words: str, connection: PostgreSQLConnection, database: str
) -> RunFailed:
    """Why a restore could not be done.  The target is as it was before."""
    detail = words or None
    what = f"{program} for database {database!r} {status}"
    if _CONNECT_FAILED.search(words):
        return connection_failed(words, connection, database)
    if re.search(r'role "[^\n]*" does not exist', words):
        why = "roles are missing: restore the globals too, or give everything to the restoring role with --skip-roles"
        return RunFailed("restore.failed", f"{what}: {why}", detail=detail)
    if "unsupported version" in words or "server version mismatch" in words:
        why = "the program is older than the dump: install the client package of the version that made it"
        return RunFailed("engine.version_skew", f"{what}: {why}", detail=detail)
    if re.search(r"extension [^\n]* is not available|could not open extension control file", words):
        why = "an extension is missing: install its package on the target's server"
        return RunFailed("restore.failed", f"{what}: {why}", detail=detail)
    if "No space left on device" in words or "could not extend file" in words:
        return RunFailed("restore.failed", f"{what}: the target's server has no room left", detail=detail)
    if _DENIED.search(words):
        why = "the role lacks a right; a superuser can restore everything, see deploy/postgresql/restore-role.sql"
        return RunFailed("engine.permission", f"{what}: {why}", detail=detail)
    if _LOST.search(words):
        return RunFailed("restore.failed", f"{what}: the server ended its session; see the server's log", detail=detail)
    return RunFailed("restore.failed", f"{what}: see its words below", detail=detail)


def warnings_in(words: str, program: str) -> list[str]:
    """What a program that ended well wanted to say, one sentence each; bounded."""
    lines = [line.removeprefix(f"{program}: ").strip() for line in words.splitlines()]
    return [line[:_MAX_WARNING_CHARS] for line in lines if line][:_MAX_WARNINGS]


_MAX_WARNINGS: Final = 20
_MAX_WARNING_CHARS: Final = 500
