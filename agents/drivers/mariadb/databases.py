"""The databases that a restore makes and drops, and how people know them: by a comment that says what they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from agents.drivers.mariadb.attributes import DumpAttributes
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.quoting import quote_identifier, quote_literal
from contracts.errors import StrongroomError

log = structlog.get_logger()

UNFINISHED: Final = "Strongroom: unfinished restore, safe to drop; run "
REPLACED: Final = "Strongroom: tables that a restore is replacing; run "
LOCK_WAIT_S: Final = 30.0
PATIENCE_S: Final = 60.0
"""With a server that restarts, as one does after a crash."""
_RETRY_S: Final = 0.5
TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, kw_only=True)
class Names:
    target: str
    scratch: str
    replaced: str
    run_id: str


async def create_scratch(client: Client, names: Names, attributes: DumpAttributes) -> None:
    """Raises: RunFailed `engine.*`, `restore.failed`."""
    charset = charset_clause(attributes.charset, attributes.collation)
    create = create_statement(names.scratch, UNFINISHED + names.run_id, charset)
    await client.execute([create], "making a database to restore into", timeout_s=TIMEOUT_S)


async def drop_databases(client: Client, databases: Iterable[str]) -> None:
    """Those that exist; patient with a server that restarts.  Never raises."""
    names = list(databases)
    if not names:
        return
    drops = ["SET SESSION foreign_key_checks = 0", *(drop_statement(name) for name in names)]
    doing = "dropping what a restore needed"
    exc = await patiently(lambda: client.execute(drops, doing, timeout_s=TIMEOUT_S, lock_timeout_s=LOCK_WAIT_S))
    if exc is not None:
        log.error("restore.left_behind", databases=names, code=exc.code, reason=exc.message)


async def patiently(work: Callable[[], Awaitable[None]]) -> StrongroomError | None:
    """Does what may be done again, as long as the server does not answer, which may be restarting; why it failed."""
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            await work()
        except StrongroomError as exc:
            if asyncio.get_running_loop().time() >= deadline or exc.code != "engine.unreachable":
                return exc
            await asyncio.sleep(_RETRY_S)
        else:
            return None


def create_statement(name: str, comment: str, charset: str = "") -> str:
    return f"CREATE DATABASE {quote_identifier(name)} {charset} COMMENT {quote_literal(comment)}"


def drop_statement(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {quote_identifier(name)}"


def charset_clause(charset: str, collation: str) -> str:
    words = [f"CHARACTER SET {quote_literal(charset)}"] if charset else []
    return " ".join([*words, *([f"COLLATE {quote_literal(collation)}"] if collation else [])])
