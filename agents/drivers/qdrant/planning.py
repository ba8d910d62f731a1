"""What a backup is going to consist of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from agents.drivers.base import BackupPlan, PlannedArtifact
from agents.drivers.http_engine import EngineRefused
from agents.drivers.qdrant.answers import CollectionInfo
from agents.drivers.qdrant.attributes import (
    ALIASES_FORMAT,
    ALIASES_KIND,
    COLLECTION_FORMAT,
    COLLECTION_KIND,
    AliasesAttributes,
    CollectionAttributes,
)
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.coverage import Coverage, cover
from agents.drivers.qdrant.node import Node, open_nodes, reachable_nodes
from agents.drivers.selecting import select
from contracts.errors import InvalidInput, RunFailed
from contracts.services import QdrantOptions

T = TypeVar("T")

_AT_ONCE: Final = 8
_BASE_BYTES: Final = 1024 * 1024
_POINT_BYTES: Final = 512
"""Beside its vectors: an id, a version and a small payload."""
_FLOAT_BYTES: Final = 4
_WILDCARDS: Final = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The reached nodes, and what they have of what was chosen."""

    nodes: list[Node]
    version: str
    collections: list[str]
    warnings: list[str]
    distributed: bool


@dataclass(frozen=True, kw_only=True)
class _Collection:
    name: str
    info: CollectionInfo
    points: int
    coverage: Coverage
    moving: bool


async def look_around(nodes: list[Node], options: QdrantOptions, *, names_must_exist: bool = True) -> Scene:
    """Raises: RunFailed `engine.*`; InvalidInput `config.invalid` for nodes that do not belong together."""
    reached, failures = await reachable_nodes(nodes)
    statuses = await asyncio.gather(*(node.cluster_status() for node in reached))
    enabled = [status is not None and status.status == "enabled" for status in statuses]
    if len(nodes) > 1 and None not in statuses and not all(enabled):
        alone = reached[enabled.index(False)].url
        raise InvalidInput(
            "config.invalid",
            f"connection.url: {alone} is not part of a cluster, so it cannot be one of several nodes: make it a service of "
            "its own",
            field="connection.url",
        )
    # A node that lags behind the others may not know all of them yet.
    names = sorted(set().union(*await asyncio.gather(*(node.collections() for node in reached))))
    include = options.include
    if not names_must_exist:
        include = [name for name in include if _WILDCARDS & set(name) or name in names]
    chosen, warnings = select(names, include, options.exclude, what="collection")
    if options.include and not include:
        chosen = []
    if None in statuses and not (options.include and not any(_WILDCARDS & set(name) for name in options.include)):
        raise RunFailed(
            "engine.permission",
            f"the token shows only some of the collections on {reached[0].url}, so nobody could tell whether a backup has "
            "all: give it access to everything (`m`), or name the collections one by one with --include",
        )
    warnings += [f"a node of the cluster could not be used: {failure.message}" for failure in failures]
    version = await reached[0].version()
    return Scene(nodes=reached, version=version, collections=chosen, warnings=warnings, distributed=any(enabled))


async def coverages(scene: Scene, names: list[str], *, timeout_s: float = 60.0) -> dict[str, tuple[Coverage, bool]]:
    """Of each collection, and whether shards of it are on the move; one that no node knows any more is left out."""

    async def one(name: str) -> tuple[Coverage, bool] | None:
        looks = await asyncio.gather(*(_unless_gone(node.cluster(name, timeout_s=timeout_s)) for node in scene.nodes))
        views = [view for view in looks if view is not None]
        if not views:
            return None
        moving = any(view.shard_transfers or view.resharding_operations for view in views)
        return cover(views), moving

    found = await _each(names, one)
    return {name: coverage for name, coverage in found.items() if coverage is not None}


async def plan_backup(connection: QdrantConnection, options: QdrantOptions) -> BackupPlan:
    """Raises: RunFailed `engine.degraded` for a shard that no reached node has whole, other `engine.*`."""
    async with open_nodes(connection) as nodes:
        scene = await look_around(nodes, options)
        covered = await coverages(scene, scene.collections)
        require_all(covered)

        async def describe(name: str) -> _Collection | None:
            for node in scene.nodes:
                info, points = await _unless_gone(node.info(name)), await _unless_gone(node.count(name))
                if info is not None and points is not None:
                    coverage, moving = covered[name]
                    return _Collection(name=name, info=info, points=points, coverage=coverage, moving=moving)
            return None

        found = (await _each(list(covered), describe)).values()
        aliases = await scene.nodes[0].aliases()
    return _plan(scene, [each for each in found if each is not None], aliases, options.parallel)


def require_all(covered: Mapping[str, tuple[Coverage, bool]]) -> None:
    """Raises: RunFailed `engine.degraded` naming collection and shard."""
    missing = missing_shards(covered)
    if missing:
        raise RunFailed(
            "engine.degraded",
            f"no node that was reached has these shards whole: {'; '.join(missing[:20])}. Bring their nodes back, and name "
            "all nodes of the cluster under url in the service's file on this host",
        )


def missing_shards(covered: Mapping[str, tuple[Coverage, bool]]) -> list[str]:
    """As `collection/shard (peer 2222: Dead)`."""
    return [f"{name}/{shard}" for name, (coverage, _) in covered.items() for shard in coverage.missing]


def _plan(scene: Scene, collections: list[_Collection], aliases: dict[str, str], parallel: int) -> BackupPlan:
    artifacts: list[PlannedArtifact] = []
    taken: set[str] = set()
    warnings = list(scene.warnings)
    for each in collections:
        if each.moving:
            warnings.append(f"shards of collection {each.name!r} are on the move between nodes")
        if each.info.status == "red":
            warnings.append(
                f"Qdrant says that collection {each.name!r} is red: its optimizer has failed, see the server's log"
            )
        artifacts += _snapshots_of(each, scene.version, taken)
    artifacts.append(
        PlannedArtifact(
            name=_unique(ALIASES_KIND, taken),
            kind=ALIASES_KIND,
            format=ALIASES_FORMAT,
            suffix="json.zst.age",
            estimate_bytes=4096 + 2048 * (len(collections) + len(aliases)),
            attributes=AliasesAttributes(aliases=list(aliases), collections=list(aliases.values())).as_attributes(),
        )
    )
    counts = {each.name: each.points for each in collections}
    return BackupPlan(
        artifacts=artifacts,
        inventory={
            "collections": {
                each.name: {
                    "points": each.points,
                    "status": each.info.status,
                    "config": each.info.config,
                    "payload_schema": each.info.payload_schema,
                    "snapshots": {str(peer): shards for peer, shards in each.coverage.shards_by_peer.items()},
                }
                for each in collections
            },
            "aliases": aliases,
            "counts": counts,
        },
        summary={"collections": len(collections), "points": sum(counts.values()), "aliases": len(aliases)},
        tools={"qdrant": scene.version},
        warnings=warnings,
        parallel=parallel,
    )


def _snapshots_of(each: _Collection, version: str, taken: set[str]) -> list[PlannedArtifact]:
    parts = each.coverage.shards_by_peer
    planned = []
    for part, (peer, shards) in enumerate(parts.items(), start=1):
        name = each.name if len(parts) == 1 else f"{each.name}@peer-{peer}"
        attributes = CollectionAttributes(
            collection=each.name,
            points=each.points,
            server_version=version,
            peer=str(peer),
            part=part,
            parts=len(parts),
            shards=[str(shard) for shard in shards],
        )
        planned.append(
            PlannedArtifact(
                name=_unique(name, taken),
                kind=COLLECTION_KIND,
                format=COLLECTION_FORMAT,
                suffix="snapshot.zst.age",
                estimate_bytes=_estimate(each) // len(parts) + 1,
                attributes=attributes.as_attributes(),
            )
        )
    return planned


def _unique(name: str, taken: set[str]) -> str:
    """A collection may well be called `aliases`, or as another's part."""
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    taken.add(candidate)
    return candidate


def _estimate(each: _Collection) -> int:
    """Vectors lie in the segments, and the latest once more in the write-ahead log."""
    params = each.info.config.get("params", {})
    vectors = params.get("vectors") or {}
    named = [vectors] if "size" in vectors else list(vectors.values())
    floats = sum(int(vector.get("size", 0)) for vector in named if isinstance(vector, dict))
    return _BASE_BYTES + each.points * (floats * _FLOAT_BYTES * 3 // 2 + _POINT_BYTES)


async def _unless_gone(asking: Awaitable[T]) -> T | None:
    """None where the node knows no such collection."""
    try:
        return await asking
    except EngineRefused as exc:
        if exc.status == 404:
            return None
        raise


async def _each(names: list[str], ask: Callable[[str], Awaitable[T]]) -> dict[str, T]:
    """In the order of the names, a few at once."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(name: str) -> T:
        async with room:
            return await ask(name)

    return dict(zip(names, await asyncio.gather(*(one(name) for name in names)), strict=True))
