"""The replication protocol, as far as a physical backup needs it: whether we are let in, and WAL that is kept for us."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from agents.drivers.postgresql.connection import session
from agents.drivers.postgresql.discovery import Position
from agents.drivers.postgresql.errors import StatementFailed, no_answer_in_time
from agents.drivers.postgresql.held_session import held_session
from agents.drivers.postgresql.physical.errors import replication_refused
from agents.drivers.postgresql.psql import NOT_CONNECTED, OPTIONS, Psql
from agents.drivers.postgresql.quoting import sql
from agents.drivers.postgresql.redaction import redactor
from agents.drivers.postgresql.tools import find_psql
from agents.processes import Command, run
from contracts.errors import RunFailed

_TIMEOUT_S: Final = 30.0
SLOT_PREFIX: Final = "strongroom_"


async def identify_system(psql: Psql) -> Position:
    """Where the server is, from a session such as pg_basebackup will have: what would go wrong then goes wrong here.

    Raises: RunFailed `engine.*`.
    """
    doing = "asking for a replication session"
    with session(psql.connection, psql.connection.database, psql.runtime_dir) as opened:
        command = Command(
            argv=[find_psql(psql.connection.bin_dir), *OPTIONS, "-d", "replication=true", "-c", "IDENTIFY_SYSTEM"],
            package="postgresql-client",
            env=opened.env,
            pass_fds=opened.pass_fds,
            redact=redactor(opened.password),
        )
        try:
            finished = await run(command, timeout_s=_TIMEOUT_S)
        except TimeoutError:
            raise no_answer_in_time(psql.connection, _TIMEOUT_S, doing) from None
    if finished.status.code == NOT_CONNECTED:
        raise replication_refused(finished.stderr, psql.connection)
    fields = finished.stdout.decode(errors="replace").strip().split("|")
    if not finished.status.ok or len(fields) < 3 or not fields[1].isdecimal():
        what = f"the server at {psql.connection.place} does not say which system it is"
        raise RunFailed("engine.refused", f"{what}: see its words below", detail=finished.stderr or None)
    return Position(system_identifier=fields[0], timeline=int(fields[1]), lsn=fields[2])


@asynccontextmanager
async def wal_kept(psql: Psql) -> AsyncIterator[str]:
    """From here on the server keeps its WAL until this is left; yields why not, in a sentence, or nothing.

    pg_basebackup sends the WAL last, when the server might have recycled what the first pages need.  Only with
    `--wal-method=stream`, which cannot go to standard output, does it take a slot for itself.  A temporary slot goes with
    its session, so none can be left that fills the server's disk.
    """
    name = SLOT_PREFIX + secrets.token_hex(6)
    select = sql("SELECT slot_name FROM pg_create_physical_replication_slot({name}, true, true)", name=name)
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(held_session(psql, [select], "making a temporary replication slot"))
            why = ""
        except StatementFailed as exc:
            why = (
                f"the server gave no replication slot ({exc.message}): a backup fails during which it writes more WAL than "
                "wal_keep_size"
            )
        yield why
