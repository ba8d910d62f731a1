"""SQL through the `mariadb` program: statements by standard input, results as one JSON object per line.

No Python driver: an agent host has the client anyway, and all of its ways to log in work the same for queries as for dumps.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.mariadb.errors import client_redactor, load_failed, no_answer_in_time, statement_failed
from agents.drivers.mariadb.option_file import login
from agents.drivers.mariadb.tools import find_program
from agents.processes import Child, Command, OutputTooLargeError, run, start, write_all
from contracts.errors import RunFailed

T = TypeVar("T")

QUERY_TIMEOUT_S: Final = 60.0
_MARGIN_S: Final = 5.0
"""The server cancels a statement this much earlier than we give up on the client."""
_PREAMBLE: Final = """\
SET NAMES utf8mb4;
SET SESSION sql_mode = '';
SET SESSION time_zone = '+00:00';
SET SESSION lock_wait_timeout = {lock_s};
SET SESSION max_statement_time = {statement_s};
SET SESSION group_concat_max_len = 67108864;
"""
"""Whatever an account or a server has set: our statements mean the same everywhere."""
_READ_ONLY: Final = "SET SESSION TRANSACTION READ ONLY;\n"
_OPTIONS: Final = (
    "--batch",
    "--no-auto-rehash",
    "--comments",  # kept in triggers and routines: they are their authors' words
    "--default-character-set=utf8mb4",
)


@dataclass(frozen=True)
class Client:
    """Runs SQL on one server; each call is a session of its own.  Only with `restores` may anything be changed."""

    connection: MariaDBConnection
    runtime_dir: Path
    restores: bool = False

    @property
    def _failure_code(self) -> str:
        return "restore.failed" if self.restores else "dump.failed"

    async def rows(self, select: str, type_: type[T], doing: str, *, timeout_s: float = QUERY_TIMEOUT_S) -> list[T]:
        """What `select` gives, whose one column is a JSON_OBJECT with the fields of `type_`.

        `doing` completes "while …" in an error.  Raises: RunFailed `engine.*` or the code of failures.
        """
        lines = await self.lines(select, doing, timeout_s=timeout_s)
        try:
            return [msgspec.json.decode(line, type=type_, strict=False) for line in lines]
        except msgspec.DecodeError as exc:
            what = f"MariaDB's answer cannot be understood while {doing}"
            raise RunFailed(self._failure_code, f"{what} (a name that is not UTF-8?): {exc}") from exc

    async def row(self, select: str, type_: type[T], doing: str, *, timeout_s: float = QUERY_TIMEOUT_S) -> T:
        """The only one."""
        rows = await self.rows(select, type_, doing, timeout_s=timeout_s)
        if len(rows) != 1:
            raise RunFailed(self._failure_code, f"MariaDB gave {len(rows)} answers instead of one while {doing}")
        return rows[0]

    async def lines(self, select: str, doing: str, *, timeout_s: float = QUERY_TIMEOUT_S) -> list[bytes]:
        """The rows of the last statement as they are printed, without headers."""
        return (await self._run([select], doing, timeout_s=timeout_s, names=False)).splitlines()

    async def table(self, show: str, doing: str, *, timeout_s: float = QUERY_TIMEOUT_S) -> list[Mapping[str, str]]:
        """The rows of a `SHOW` statement, by name of column; line breaks and tabs in values are escaped."""
        printed = (await self._run([show], doing, timeout_s=timeout_s, names=True)).decode(errors="replace").split("\n")[:-1]
        header = printed[0].split("\t") if printed else []
        return [dict(zip(header, line.split("\t"), strict=False)) for line in printed[1:]]

    async def execute(
        self,
        statements: Sequence[str],
        doing: str,
        *,
        timeout_s: float = QUERY_TIMEOUT_S,
        lock_timeout_s: float = 10.0,
        hide_statements: bool = False,
    ) -> None:
        """Runs statements in order, up to the first that fails.  `hide_statements`: they hold secrets.

        Raises: StatementFailed, RunFailed `engine.*`.
        """
        if not statements:
            return
        await self._run(
            statements,
            doing,
            timeout_s=timeout_s,
            names=False,
            lock_timeout_s=lock_timeout_s,
            hide_statements=hide_statements,
        )

    async def _run(
        self,
        statements: Sequence[str],
        doing: str,
        *,
        timeout_s: float,
        names: bool,
        lock_timeout_s: float = 10.0,
        hide_statements: bool = False,
    ) -> bytes:
        preamble = _PREAMBLE.format(
            lock_s=max(1, int(lock_timeout_s)), statement_s=timeout_s - min(_MARGIN_S, timeout_s / 2)
        )
        text = preamble + ("" if self.restores else _READ_ONLY) + "".join(f"{statement}\n;\n" for statement in statements)
        with login(self.connection, self.runtime_dir) as given:
            command = Command(
                argv=[
                    find_program("mariadb", self.connection.bin_dir),
                    given.argument,
                    *_OPTIONS,
                    *([] if names else ["--skip-column-names", "--raw"]),
                ],
                package="mariadb-client",
                pass_fds=given.pass_fds,
                redact=client_redactor(given.secret, hide_statements=hide_statements),
            )
            try:
                finished = await run(command, stdin=text.encode(), timeout_s=timeout_s)
            except TimeoutError:
                raise no_answer_in_time(self.connection, timeout_s, doing) from None
            except OutputTooLargeError as exc:
                raise RunFailed(self._failure_code, f"MariaDB's answer is too large while {doing}: {exc}") from None
        if not finished.status.ok:
            raise statement_failed(finished.stderr, self._failure_code, doing, self.connection)
        return finished.stdout

    @asynccontextmanager
    async def loading(self, database: str, name: str, *, lock_timeout_s: float = 600.0) -> AsyncIterator[Loader]:
        """A client that takes in a script, in that database; `name` is for errors."""
        # Whatever a server has set: a statement may take long, but by default it would wait a day for somebody's lock.
        session = f"SET SESSION max_statement_time = 0, lock_wait_timeout = {max(1, int(lock_timeout_s))}"
        with login(self.connection, self.runtime_dir) as given:
            command = Command(
                argv=[
                    find_program("mariadb", self.connection.bin_dir),
                    given.argument,
                    *_OPTIONS,
                    f"--database={database}",
                    f"--init-command={session}",
                    "--binary-mode",  # else the line ends of routines written on Windows would be changed
                    "--max-allowed-packet=1G",
                ],
                package="mariadb-client",
                pass_fds=given.pass_fds,
                redact=client_redactor(given.secret),
            )
            async with start(command, stdin=True) as child:
                yield Loader(child, self.connection, name)

    async def load(self, database: str, script: Iterable[bytes], *, lock_timeout_s: float) -> None:
        """Runs a script.  Raises: RunFailed `restore.failed`, `engine.*`."""
        async with self.loading(database, database, lock_timeout_s=lock_timeout_s) as loader:
            for part in script:
                await loader.write(part)
            await loader.finish()


class Loader:
    """A client that takes in a script."""

    def __init__(self, child: Child, connection: MariaDBConnection, name: str) -> None:
        self._child = child
        self._connection = connection
        self._name = name
        os.set_blocking(child.stdin_fd, False)  # our end of the pipe only

    async def write(self, data: bytes) -> None:
        """Raises: RunFailed `restore.failed` with the client's words, if it wants no more."""
        try:
            await write_all(self._child.stdin_fd, data)
        except BrokenPipeError:
            await self.finish()
            raise RunFailed("restore.failed", f"the mariadb client stopped reading {self._name!r} early") from None

    async def finish(self) -> None:
        """Returns when all that was written has been executed.  Raises: RunFailed `restore.failed`, `engine.*`."""
        self._child.close_stdin()
        status = await self._child.wait()
        if not status.ok:
            raise load_failed(status, self._child.stderr, self._connection, self._name)
