"""A session that has to last while something else goes on: it holds a slot or a snapshot, which go when it ends.

So nothing is left behind, whatever ends the agent: the server drops both with the session.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final

from agents.drivers.postgresql.connection import session
from agents.drivers.postgresql.errors import connection_failed, no_answer_in_time, statement_failed
from agents.drivers.postgresql.psql import NOT_CONNECTED, OPTIONS, Psql
from agents.drivers.postgresql.redaction import redactor
from agents.drivers.postgresql.tools import find_psql
from agents.processes import Child, Command, start, until_readable, write_all

_TIMEOUT_S: Final = 60.0
_GOODBYE_S: Final = 5.0
_ANSWER_BYTES: Final = 65536
# No time limit may end an idle session, and a host that vanished must not hold anything for hours.
_PREAMBLE: Final = """\
SET client_min_messages = error;
SET search_path = pg_catalog;
SET standard_conforming_strings = on;
SET statement_timeout = 0;
\\o /dev/null
SELECT set_config(name, '0', false) FROM pg_settings
WHERE name IN ('idle_session_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout');
SELECT set_config('tcp_keepalives_idle', '60', false), set_config('tcp_keepalives_interval', '10', false),
       set_config('tcp_keepalives_count', '6', false);
\\o
"""


@asynccontextmanager
async def held_session(psql: Psql, statements: Sequence[str], doing: str, *, database: str = "") -> AsyncIterator[str]:
    """The session after these statements, and the one line that they printed; leaving ends it.

    `doing` completes "while …" in an error.  Raises: StatementFailed, RunFailed `engine.*`.
    """
    where = database or psql.connection.database
    with session(psql.connection, where, psql.runtime_dir) as opened:
        command = Command(
            argv=[find_psql(psql.connection.bin_dir), *OPTIONS, "-v", "ON_ERROR_STOP=1"],
            package="postgresql-client",
            env={**opened.env, "PGCLIENTENCODING": "UTF8"},
            pass_fds=opened.pass_fds,
            redact=redactor(opened.password),
        )
        async with start(command, stdin=True, stdout=True) as child:
            text = _PREAMBLE + "".join(f"{statement}\n;\n" for statement in statements)
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    await _write(child, text.encode())
                    line = await _first_line(child)
                    status = await child.wait() if line is None else None
            except TimeoutError:
                raise no_answer_in_time(psql.connection, _TIMEOUT_S, doing) from None
            if line is None:
                if status is not None and status.code == NOT_CONNECTED:
                    raise connection_failed(child.stderr, psql.connection, where)
                raise statement_failed(child.stderr, "dump.failed", doing)
            try:
                yield line
            finally:
                # In good order, so that what was held is gone when we return; `start` sees to the rest.
                child.close_stdin()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_GOODBYE_S):
                        await child.wait()


async def _write(child: Child, data: bytes) -> None:
    os.set_blocking(child.stdin_fd, False)
    with suppress(BrokenPipeError):  # its exit status tells why
        await write_all(child.stdin_fd, data)


async def _first_line(child: Child) -> str | None:
    """None when it ended before it wrote one."""
    os.set_blocking(child.stdout_fd, False)
    collected = bytearray()
    while b"\n" not in collected:
        try:
            data = os.read(child.stdout_fd, _ANSWER_BYTES)
        except BlockingIOError:
            await until_readable(child.stdout_fd)
            continue
        if not data:
            return None
        collected += data
    return collected.partition(b"\n")[0].decode(errors="replace")
