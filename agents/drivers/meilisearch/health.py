"""What an instance says of itself."""

from __future__ import annotations

import asyncio
from typing import Final

from agents.drivers.meilisearch.api import open_api
from agents.drivers.meilisearch.connection import MeilisearchConnection
from contracts.errors import RunFailed, StrongroomError
from contracts.records import EngineHealth

_TIMEOUT_S: Final = 8.0


async def look_at_health(connection: MeilisearchConnection) -> EngineHealth:
    """Never raises: an error is inside.  Meilisearch knows no roles."""
    try:
        async with asyncio.timeout(_TIMEOUT_S), open_api(connection) as api:
            await api.require_serving()
            return EngineHealth(reachable=True, version=await api.version())
    except TimeoutError:
        what = f"Meilisearch at {connection.url} did not answer within {_TIMEOUT_S:g} s"
        return EngineHealth(reachable=False, error=RunFailed("engine.unreachable", what).info)
    except StrongroomError as exc:
        return EngineHealth(reachable=False, error=exc.info)
