"""What JetStream says of itself, for this user's account."""

from __future__ import annotations

import asyncio
from typing import Final

from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.planning import chosen_among
from agents.drivers.nats.session import Session, open_session
from agents.drivers.nats.streams import list_streams
from contracts.errors import RunFailed, StrongroomError
from contracts.records import EngineHealth
from contracts.services import NATSOptions

HEALTH_TIMEOUT_S: Final = 8.0
_SHOWN: Final = 10


async def look_at_health(connection: NATSConnection, options: NATSOptions) -> EngineHealth:
    """Never raises for a server that is down: the error is inside.  `missing_shards` are streams out of reach."""
    version = ""
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S), open_session(connection) as session:
            version = session.version
            return await _look(session, options, version)
    except TimeoutError:
        what = f"JetStream at {connection.place} did not answer within {HEALTH_TIMEOUT_S:g} s"
        error = RunFailed("engine.unreachable", f"{what}: check the cluster with `nats server report jetstream`")
        return EngineHealth(reachable=False, version=version, error=error.info)
    except StrongroomError as exc:
        return EngineHealth(reachable=bool(version), version=version, error=exc.info)


async def _look(session: Session, options: NATSOptions, version: str) -> EngineHealth:
    await session.ask("INFO", doing="asking for the account's limits", timeout_s=HEALTH_TIMEOUT_S)
    streams = await list_streams(session)
    missing = sorted(chosen_among(streams.missing, options))
    if not missing:
        return EngineHealth(reachable=True, version=version)
    what = f"{len(missing)} streams cannot be read at the moment, such as {', '.join(map(repr, missing[:_SHOWN]))}"
    error = RunFailed("engine.degraded", f"{what}: check the cluster with `nats stream report`")
    return EngineHealth(reachable=True, version=version, missing_shards=missing, error=error.info)
