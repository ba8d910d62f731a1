"""What the nodes say of themselves."""

from __future__ import annotations

import asyncio
from typing import Final

from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.node import QUICK_S, open_nodes, reachable_nodes
from agents.drivers.qdrant.planning import coverages, look_around, missing_shards
from contracts.errors import RunFailed, StrongroomError
from contracts.records import EngineHealth
from contracts.services import QdrantOptions

_LOOK_S: Final = 8.0


async def look_at_health(connection: QdrantConnection, options: QdrantOptions) -> EngineHealth:
    """Within a few seconds.  Qdrant's nodes have no roles."""
    version = ""
    try:
        async with asyncio.timeout(_LOOK_S), open_nodes(connection) as nodes:
            reached, _ = await reachable_nodes(nodes, timeout_s=QUICK_S)
            version = await reached[0].version(timeout_s=QUICK_S)
            scene = await look_around(reached, options, names_must_exist=False)
            covered = await coverages(scene, scene.collections, timeout_s=QUICK_S)
    except TimeoutError:
        error = RunFailed("engine.unreachable", f"Qdrant at {connection.place} did not answer within {_LOOK_S:g} s")
        return EngineHealth(reachable=False, version=version, error=error.info)
    except StrongroomError as exc:
        return EngineHealth(reachable=exc.code != "engine.unreachable", version=version, error=exc.info)
    return EngineHealth(reachable=True, version=version, missing_shards=missing_shards(covered))
