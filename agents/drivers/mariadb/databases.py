"""The databases that a restore makes and drops, and how people know them: by a comment that says what they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
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
RETRY_S: Final = 0.5
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
    drops = [drop_statement(name) for name in databases]
    deadline = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            await client.execute(
                ["SET SESSION foreign_key_checks = 0", *drops],
                "dropping what a restore needed",
                timeout_s=TIMEOUT_S,
                lock_timeout_s=LOCK_WAIT_S,
            )
            return
        except StrongroomError as exc:
            if asyncio.get_running_loop().time() >= deadline or exc.code != "engine.unreachable":
                log.error("restore.left_behind", databases=list(databases), code=exc.code, reason=exc.message)
                return
        await asyncio.sleep(RETRY_S)


def create_statement(name: str, comment: str, charset: str = "") -> str:
    return f"CREATE DATABASE {quote_identifier(name)} {charset} COMMENT {quote_literal(comment)}"


def drop_statement(name: str) -> str:
    return f"DROP DATABASE IF EXISTS {quote_identifier(name)}"


def charset_clause(charset: str, collation: str) -> str:
    words = [f"CHARACTER SET {quote_literal(charset)}"] if charset else []
    return " ".join([*words, *([f"COLLATE {quote_literal(collation)}"] if collation else [])])
