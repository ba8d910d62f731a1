"""What a cluster says of itself."""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec

from agents.drivers.elasticsearch.catalogue import Catalogue, IndexFacts, choose
from agents.drivers.elasticsearch.cluster import look_at_cluster, open_cluster
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from contracts.errors import RunFailed, StrongroomError
from contracts.records import EngineHealth
from contracts.services import ElasticsearchOptions

HEALTH_TIMEOUT_S: Final = 8.0
_WILDCARDS: Final = frozenset("*?[")


class _IndexHealth(msgspec.Struct, frozen=True, kw_only=True):
    status: str


class _ClusterHealth(msgspec.Struct, frozen=True, kw_only=True):
    indices: dict[str, _IndexHealth] = {}


async def look_at_health(connection: ElasticsearchConnection, options: ElasticsearchOptions) -> EngineHealth:
    """Never raises for a cluster that is down: the error is inside.

    `missing_shards` are the indices of the backup that lack a primary shard; those of others do not concern it.
    """
    version = ""
    try:
        async with asyncio.timeout(HEALTH_TIMEOUT_S), open_cluster(connection) as http:
            version = (await look_at_cluster(http)).number
            health = await http.ask("GET", "/_cluster/health", type=_ClusterHealth, params={"level": "indices"})
    except TimeoutError:
        error = RunFailed(
            "engine.unreachable", f"the cluster at {connection.url} did not answer within {HEALTH_TIMEOUT_S:g} s"
        )
        return EngineHealth(reachable=False, version=version, error=error.info)
    except StrongroomError as exc:
        return EngineHealth(reachable=exc.code != "engine.unreachable", version=version, error=exc.info)
    red = [name for name, index in health.indices.items() if index.status == "red"]
    return EngineHealth(reachable=True, version=version, missing_shards=_concerned(red, options))


def _concerned(red: list[str], options: ElasticsearchOptions) -> list[str]:
    """Indices of data streams are taken as a part of the backup: here is no time to ask which stream they belong to."""
    backing = [name for name in red if name.startswith(".ds-")]
    plain = [name for name in red if name not in backing]
    include = [pattern for pattern in options.include if pattern in plain or _WILDCARDS & set(pattern)]
    if options.include and not include:
        return sorted(backing)
    asked = ElasticsearchOptions(include=include, exclude=options.exclude)
    chosen, _ = choose(Catalogue(indices=[IndexFacts(name=name) for name in plain], streams=[]), asked)
    return sorted([*(index.name for index in chosen), *backing])
