"""SQL through the `psql` program: statements by standard input, a result as one JSON document.

No Python driver: an agent host has psql anyway, in the version that belongs to its tools, and all of libpq's ways to
log in work the same for queries as for dumps.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from agents.drivers.postgresql.connection import PostgreSQLConnection, session
from agents.drivers.postgresql.errors import connection_failed, no_answer_in_time, statement_failed
from agents.drivers.postgresql.redaction import redactor
from agents.drivers.postgresql.tools import find_psql
from agents.processes import Command, Finished, OutputTooLargeError, run
from contracts.errors import RunFailed

T = TypeVar("T")

QUERY_TIMEOUT_S: Final = 60.0
_MARGIN_S: Final = 5.0
"""The server cancels a statement this much earlier than we give up on psql."""
_PREAMBLE: Final = """\
SET standard_conforming_strings = on;
SET search_path = pg_catalog;
SET default_transaction_read_only = {read_only};
SET row_security = on;
SET lock_timeout = '{lock_ms}ms';
SET statement_timeout = '{statement_ms}ms';
SET client_min_messages = error;
"""
"""Whatever a role or a database has set: our statements mean the same everywhere.  Statements and not `PGOPTIONS`, which
connection poolers refuse.  `pg_catalog` alone, so that nobody can slip us a function of his own."""
NOT_CONNECTED: Final = 2
"""psql's exit status for a connection that could not be made, or was lost."""


class Psql:
    """Runs SQL on one server; each call is a session of its own."""

    def __init__(self, connection: PostgreSQLConnection, runtime_dir: Path, *, restores: bool = False) -> None:
        """Only with `restores` may anything be changed."""
        self.connection = connection
        self.runtime_dir = runtime_dir
        self._restores = restores
        self._failure_code = "restore.failed" if restores else "dump.failed"
        """For errors of statements that have no code of their own."""

    async def query(
        self,
        select: str,
        type_: type[T],
        doing: str,
        *,
        database: str | None = None,
        timeout_s: float = QUERY_TIMEOUT_S,
    ) -> T:
        """The one JSON value that `select` gives, as `type_`.

        `doing` completes "while …" in an error.  Raises: RunFailed `engine.*` or the code of failures.
        """
        finished = await self.script([select], doing, database=database, timeout_s=timeout_s)
        try:
            return msgspec.json.decode(finished.stdout, type=type_)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            what = f"PostgreSQL's answer cannot be understood while {doing}"
            raise RunFailed(self._failure_code, f"{what} (a name that is not UTF-8?): {exc}") from exc

    async def execute(
        self,
        statements: Sequence[str],
        doing: str,
        *,
        database: str | None = None,
        timeout_s: float = QUERY_TIMEOUT_S,
        atomic: bool = False,
    ) -> None:
        """Runs statements in order, up to the first that fails; with `atomic` all or none.

        Raises: StatementFailed, RunFailed `engine.*`.
        """
        if atomic:
            statements = ["BEGIN", *statements, "COMMIT"]
        await self.script(statements, doing, database=database, timeout_s=timeout_s)

    async def script(
        self,
        statements: Sequence[str],
        doing: str,
        *,
        database: str | None = None,
        timeout_s: float = QUERY_TIMEOUT_S,
        lock_timeout_s: float = 10.0,
        stop_on_error: bool = True,
    ) -> Finished:
        """What psql printed: rows without headers, one per line."""
        where = self.connection.database if database is None else database
        statement_ms = max(1, int((timeout_s - min(_MARGIN_S, timeout_s / 2)) * 1000))
        preamble = _PREAMBLE.format(
            read_only="off" if self._restores else "on", lock_ms=int(lock_timeout_s * 1000), statement_ms=statement_ms
        )
        text = preamble + "".join(f"{statement}\n;\n" for statement in statements)
        with session(self.connection, where, self.runtime_dir) as opened:
            command = Command(
                argv=[find_psql(self.connection.bin_dir), *OPTIONS, "-v", f"ON_ERROR_STOP={int(stop_on_error)}"],
                package="postgresql-client",
                env={**opened.env, "PGCLIENTENCODING": "UTF8"},
                pass_fds=opened.pass_fds,
                redact=redactor(opened.password),
            )
            try:
                finished = await run(command, stdin=text.encode(), timeout_s=timeout_s)
            except TimeoutError:
                raise no_answer_in_time(self.connection, timeout_s, doing) from None
            except OutputTooLargeError as exc:
                raise RunFailed(self._failure_code, f"PostgreSQL's answer is too large while {doing}: {exc}") from None
        if finished.status.code == NOT_CONNECTED:
            raise connection_failed(finished.stderr, self.connection, where)
        if not finished.status.ok:
            raise statement_failed(finished.stderr, self._failure_code, doing)
        return finished


OPTIONS: Final[list[Any]] = [
    "--no-psqlrc",
    "--no-align",
    "--tuples-only",
    "--quiet",
    "--no-password",
    "-v",
    "VERBOSITY=verbose",  # the SQLSTATE, which no translation changes
    "-v",
    "SHOW_CONTEXT=never",
]
