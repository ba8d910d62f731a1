"""What MariaDB's programs say, as Strongroom's codes and as sentences that tell an operator what to do.

The server's error numbers decide, since its messages may be in any language.  A client prints the whole statement before
the error, rows and passwords included: nothing but the lines of the errors themselves is ever passed on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.secret_files import Secret
from agents.processes import ExitStatus
from contracts.errors import RunFailed

NO_ANSWER: Final = frozenset({1040, 1053, 1203, 1129, 2002, 2003, 2005, 2006, 2012, 2013, 2026, 2055})
BAD_LOGIN: Final = frozenset({1045, 1130, 1131, 1132, 1133, 1524, 1698, 1862, 1820, 2059, 2061, 3118, 4151})
DENIED: Final = frozenset({1044, 1142, 1143, 1227, 1370, 1410, 1419, 1697})
NO_DATABASE: Final = 1049
NOT_PREPARED: Final = 1047
_NUMBER: Final = re.compile(r"(?:ERROR|[Ee]rror:?|errno:?) \(?(\d{4})\b|\((\d{4})\)\s*$", re.MULTILINE)
_BACKUP_NO_LOGIN: Final = re.compile(r"Failed to connect to MariaDB server: (?P<why>.*)")
_PARTS_OF_STATEMENTS: Final = re.compile(r"(?<=near )'[^\n]*|\*[0-9A-F]{8,}|(?<=PASSWORD )'[^\n]*|(?<=USING )'[^\n]*")
_MAX_WORD_LINES: Final = 20
_MAX_WORD_CHARS: Final = 500


class StatementFailed(RunFailed):
    """The server refused an SQL statement; `number` is its error's, 0 when it gave none."""

    def __init__(self, code: str, message: str, *, number: int, detail: str | None = None) -> None:
        super().__init__(code, message, detail=detail)
        self.number = number


def redactor(secret: Secret | None) -> Callable[[str], str]:
    """For mariadb-dump and mariadb-backup, which print no rows."""

    def redact(text: str) -> str:
        return secret.hide_in(text) if secret is not None else text

    return redact


def client_redactor(secret: Secret | None, *, hide_statements: bool = False) -> Callable[[str], str]:
    """For the client, of which only lines with an error are kept; `hide_statements` hides what they cite of them."""

    def redact(text: str) -> str:
        lines = [line for line in text.splitlines() if re.match(r"ERROR|mariadb: |mysql: |WARNING", line)]
        kept = "\n".join(line[:_MAX_WORD_CHARS] for line in lines[-_MAX_WORD_LINES:])
        kept = re.sub(r"(ERROR 1062 [^\n]*?Duplicate entry )'.*'( for key)", r"\1'…'\2", kept)
        kept = secret.hide_in(kept) if secret is not None else kept
        return _PARTS_OF_STATEMENTS.sub("…", kept) if hide_statements else kept

    return redact


def error_number(words: str) -> int:
    """Of the first error in what a program said; 0 when there is none."""
    found = _NUMBER.search(words)
    return int(found[1] or found[2]) if found else 0


def connection_failed(words: str, number: int, connection: MariaDBConnection) -> RunFailed | None:
    """Why a program could not connect or was cut off; None when that is not what happened."""
    where, who = connection.place, f"user {connection.user!r}"
    if number in BAD_LOGIN:
        what = f"the MariaDB server at {where} refused the login of {who}"
        return RunFailed(
            "engine.auth_failed", f"{what}: check password_file, and that the account may come from this host", detail=words
        )
    if number in NO_ANSWER:
        what = f"MariaDB at {where} does not answer as it should"
        remedy = "check that it runs and that socket, or host and port, and tls are right"
        return RunFailed("engine.unreachable", f"{what}: {remedy}", detail=words)
    return None


def statement_failed(words: str, code: str, doing: str, connection: MariaDBConnection) -> RunFailed:
    """Why the client failed; `code` is for what has no code of its own, `doing` completes "while …"."""
    number = error_number(words)
    failed = connection_failed(words, number, connection)
    if failed is not None:
        return failed
    if number == NOT_PREPARED:
        what = f"the Galera node at {connection.place} is cut off from its cluster and takes no statements"
        remedy = "look at wsrep_cluster_status there, and at the network between the nodes"
        return RunFailed("engine.degraded", f"{what}: {remedy}", detail=words or None)
    reason = next((line for line in words.splitlines() if line.startswith("ERROR")), words.partition("\n")[0])
    if number in DENIED:
        code = "engine.permission"
    elif number == NO_DATABASE:
        code = "engine.database_not_found"
    what = f"MariaDB at {connection.place} refused while {doing}: {reason or 'it said nothing'}"
    return StatementFailed(code, what, number=number, detail=words or None)


def no_answer_in_time(connection: MariaDBConnection, timeout_s: float, doing: str) -> RunFailed:
    what = f"MariaDB at {connection.place} did not answer within {timeout_s:g} s while {doing}"
    return RunFailed("engine.unreachable", f"{what}: look for locks and load on the server")


def dump_failed(status: ExitStatus, words: str, connection: MariaDBConnection, artifact: str) -> RunFailed:
    """Why a dump by mariadb-dump is not whole."""
    what, detail, number = f"mariadb-dump of {artifact!r} {status}", words or None, error_number(words)
    if "when trying to connect" in words and (failed := connection_failed(words, number, connection)):
        return failed
    if number == NO_DATABASE:
        return RunFailed(
            "engine.database_not_found", f"database {artifact!r} has been dropped since the plan was made", detail=detail
        )
    if number == 1412:
        why = "a table was altered, truncated or renamed during the dump; try again, at a time without such changes"
    elif number == 1356:
        why = "a view refers to something that does not exist any more, or the account may not use: correct or drop it"
    elif number in (2006, 2013):
        why = (
            "the server ended the connection: it was stopped or crashed (see its log), or the upload stood still for longer "
            "than its net_write_timeout"
        )
    elif number == 1370:
        why = "a view calls a stored function, which needs EXECUTE; deploy/mariadb/backup-account.sql grants it"
        return RunFailed("engine.permission", f"{what}: {why}", detail=detail)
    elif "insufficient privileges to SHOW CREATE" in words:
        why = "the account may not see the text of routines: grant it SELECT on mysql.proc, as deploy/mariadb does"
        return RunFailed("engine.permission", f"{what}: {why}", detail=detail)
    elif number in DENIED:
        why = "the account lacks a right; deploy/mariadb/backup-account.sql grants all"
        return RunFailed("engine.permission", f"{what}: {why}", detail=detail)
    elif status.signal is not None:
        why = "somebody, or the kernel for lack of memory, ended it"
    else:
        why = "see its words below"
    return RunFailed("dump.failed", f"{what}: {why}", detail=detail)


def backup_failed(status: ExitStatus, words: str, connection: MariaDBConnection) -> RunFailed:
    """Why a backup by mariadb-backup is not whole."""
    what, detail = f"mariadb-backup {status}", words or None
    refused = _BACKUP_NO_LOGIN.search(words)
    if refused is not None:
        number = 1045 if "Access denied" in refused["why"] or "not allowed to connect" in refused["why"] else 2002
        failed = connection_failed(words, number, connection)
        assert failed is not None
        return failed
    if "Was only able to copy log from" in words:
        why = (
            "the server overwrote its redo log before it was read, because it writes faster than the backup is stored: "
            "raise innodb_log_file_size there, or back up at a quieter time"
        )
    elif "missing required privilege" in words or re.search(r"Access denied; you need", words):
        why = "the account lacks a right; deploy/mariadb/backup-account.sql grants all"
        return RunFailed("engine.permission", f"{what}: {why}", detail=detail)
    elif "Permission denied" in words or "Errcode: 13" in words:
        why = "it may not read the data directory: run the agent as root, or as the server's own user"
        return RunFailed("engine.permission", f"{what}: {why}", detail=detail)
    elif re.search(r"Lost connection|gone away|server has gone|Connection was killed", words):
        why = "the server ended its session; see the server's log"
    elif status.signal is not None:
        why = "somebody, or the kernel for lack of memory, ended it"
    else:
        why = "see its words below"
    return RunFailed("dump.failed", f"{what}: {why}", detail=detail)


def load_failed(status: ExitStatus, words: str, connection: MariaDBConnection, name: str) -> RunFailed:
    """Why a dump could not be taken in.  The target is as it was before."""
    number, detail = error_number(words), words or None
    what = f"the mariadb client that loads {name!r} {status}"
    if number in BAD_LOGIN and (failed := connection_failed(words, number, connection)):
        return failed
    if number in DENIED:
        why = "the account lacks a right; deploy/mariadb/restore-account.sql grants all"
        return RunFailed("engine.permission", f"{what}: {why}", detail=detail)
    if number in NO_ANSWER:
        why = "the server ended its session or went away; see the server's log, and its max_allowed_packet"
    elif number == 1153:
        why = "a row is larger than the server's max_allowed_packet: raise it there"
    elif number in (1114, 1021, 3) or "No space left" in words:
        why = "the server has no room left"
    elif number in (1064, 1193, 1231, 1273, 1115):
        why = "the server does not understand the dump, which may come from a newer version"
    elif number in (1286, 1289):
        why = "a storage engine of the dump is missing on the server: install its plugin there"
    else:
        why = "see its words below"
    return StatementFailed("restore.failed", f"{what}: {why}", number=number, detail=detail)


def warnings_in(words: str, program: str) -> list[str]:
    """What a program that ended well wanted to say, one sentence each; bounded."""
    lines = [line.removeprefix(f"{program}: ").strip() for line in words.splitlines()]
    return [line[:_MAX_WORD_CHARS] for line in lines if line][:_MAX_WORD_LINES]
