"""What a server's replication protocol and pg_basebackup say, as codes and as sentences that tell an operator what to do."""

from __future__ import annotations

import re
from typing import Final

from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.errors import connection_failed
from agents.drivers.postgresql.quoting import quote_identifier
from agents.processes import ExitStatus
from contracts.errors import RunFailed

RECIPE: Final = "deploy/postgresql/physical-backup-role.sql"
_NOT_ADMITTED: Final = re.compile(r"no pg_hba\.conf entry for replication|pg_hba\.conf rejects replication")
_NO_RIGHT: Final = re.compile(r"must be superuser or replication role|permission denied to start WAL sender")
_NO_SENDER: Final = re.compile(r"number of requested standby connections exceeds|max_wal_senders")
_CONNECT_FAILED: Final = re.compile(r"connection to server [^\n]*failed|could not connect to server")
_WAL_GONE: Final = re.compile(r"requested WAL segment|could not find (?:any )?WAL file|WAL file [^\n]* (?:is )?missing")
_BAD_PAGES: Final = re.compile(r"checksum (?:error|verification fail)|checksum verification failed|checksum error occurred")
_KEEP_WAL: Final = (
    "raise wal_keep_size and max_slot_wal_keep_size, or let it have a replication slot (max_replication_slots)"
)
_LOST: Final = re.compile(
    r"server closed the connection|terminating (?:connection|walsender)|could not (?:read|receive) [^\n]*(?:COPY|data)"
    r"|SSL SYSCALL|connection not open"
)


def replication_refused(words: str, connection: PostgreSQLConnection) -> RunFailed:
    """Why no session for replication could be had, from what a program said."""
    role = quote_identifier(connection.user)
    if _NOT_ADMITTED.search(words):
        return RunFailed(
            "engine.auth_failed",
            f"the server at {connection.place} lets role {connection.user!r} log in, but not for replication, which a "
            f"physical backup needs: give it a line with `replication` in the database column of pg_hba.conf, see {RECIPE}",
            detail=words,
        )
    if _NO_RIGHT.search(words):
        return missing_right(connection.user, words)
    if _NO_SENDER.search(words):
        return RunFailed(
            "engine.refused",
            f"all WAL senders of the server at {connection.place} are in use: raise max_wal_senders and restart it, or end "
            f"what uses them (pg_stat_replication lists them; {role} needs one)",
            detail=words,
        )
    return connection_failed(words, connection, connection.database)


def missing_right(user: str, words: str | None = None) -> RunFailed:
    role = quote_identifier(user)
    return RunFailed(
        "engine.permission",
        f"role {user!r} may not replicate, which a physical backup needs: ALTER ROLE {role} REPLICATION, as a superuser",
        detail=words,
    )


def several_tablespaces(names: list[str], words: str | None = None) -> RunFailed:
    listed = f" ({', '.join(names[:10])}{' …' if len(names) > 10 else ''})" if names else ""
    return RunFailed(
        "engine.unsupported",
        f"the server has tablespaces of its own{listed}, and pg_basebackup can stream only a cluster without any: "
        "set the service's method to logical, or drop them",
        detail=words,
    )


def basebackup_failed(status: ExitStatus, words: str, connection: PostgreSQLConnection) -> RunFailed:
    """Why a physical backup is not whole."""
    detail = words or None
    what = f"pg_basebackup {status}"
    if _CONNECT_FAILED.search(words):
        return replication_refused(words, connection)
    if "can only write single tablespace" in words:
        return several_tablespaces([], words)
    if _WAL_GONE.search(words):
        why = "the server removed WAL of the backup's own time before it was sent"
        return RunFailed("dump.failed", f"{what}: {why}; {_KEEP_WAL}", detail=detail)
    if "COPY stream ended before last file was finished" in words:  # all that the program says of an error in a WAL file
        why = "the server broke off in the middle of a file, and its log says why"
        guess = f"most often it removed WAL of the backup's own time before it was sent; then {_KEEP_WAL}"
        return RunFailed("dump.failed", f"{what}: {why}; {guess}", detail=detail)
    if _BAD_PAGES.search(words):
        why = "pages of the data directory have wrong checksums, so the server's own data are damaged (disk or memory)"
        remedy = "look which files below, take the backup on a replica, and keep the last good one"
        return RunFailed("dump.failed", f"{what}: {why}; {remedy}", detail=detail)
    if "standby was promoted" in words:
        return RunFailed("dump.failed", f"{what}: the replica became the primary meanwhile; start it again", detail=detail)
    if "full_page_writes" in words:
        why = "on a replica it needs full_page_writes = on on the primary"
        return RunFailed("engine.unsupported", f"{what}: {why}", detail=detail)
    if "incompatible server version" in words:
        why = "it is older than the server: install the client package of the server's version"
        return RunFailed("engine.version_skew", f"{what}: {why}", detail=detail)
    if _LOST.search(words):
        return RunFailed("dump.failed", f"{what}: the server ended its session; see the server's log", detail=detail)
    if status.signal is not None:
        return RunFailed("dump.failed", f"{what}: somebody, or the kernel for lack of memory, ended it", detail=detail)
    return RunFailed("dump.failed", f"{what}: see its words below", detail=detail)
