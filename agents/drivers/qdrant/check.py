"""A look at the target before a restore begins."""

from __future__ import annotations

from typing import Final

from agents.drivers.http_engine import EngineRefused
from agents.drivers.qdrant.attributes import ALIASES_KIND, aliases_attributes
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.node import Node, open_nodes, reachable_nodes
from agents.drivers.qdrant.targets import check_alias, check_free, check_names, check_version
from contracts.errors import InvalidInput, RunFailed
from contracts.records import ArtifactRecord, RestoreTarget

_NOBODYS: Final = "strongroom-may-restore"
"""A collection that nobody has: to remove it needs the rights of a restore, and changes nothing."""


async def check_restore(connection: QdrantConnection, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
    """Raises: InvalidInput, Conflict `restore.target_not_empty`, RunFailed `engine.*`; nothing is changed."""
    names = check_names(artifacts, target)
    if _NOBODYS in names.values():
        raise InvalidInput("input.invalid", f"rename: {_NOBODYS!r} is kept free: choose another name", field="rename")
    async with open_nodes(connection) as nodes:
        reached, failures = await reachable_nodes(nodes)
        if failures:
            raise failures[0]  # every node of a cluster gets its own snapshots back
        node = reached[0]
        await require_rights(node)
        version = await node.version()
        collections, aliases = await node.collections(), await node.aliases()
    for artifact in artifacts:
        if artifact.kind != ALIASES_KIND:
            check_version(artifact, version)
    for name in names.values():
        check_free(name, collections=collections, aliases=aliases, replace=target.replace, place=node.url)
    for artifact in artifacts:
        if artifact.kind != ALIASES_KIND:
            continue
        attributes = aliases_attributes(artifact)
        for alias, collection in zip(attributes.aliases, attributes.collections, strict=False):
            wanted = names.get(collection, collection)
            if wanted == collection and (wanted in collections or collection in names):
                check_alias(alias, wanted, current=aliases, replace=target.replace, place=node.url)


async def require_rights(node: Node) -> None:
    """Raises: RunFailed `engine.permission` before gigabytes are sent in vain."""
    if _NOBODYS in await node.collections():
        return
    try:
        await node.delete_collection(_NOBODYS)
    except EngineRefused as exc:
        if exc.code != "engine.permission":
            raise
        raise RunFailed(
            "engine.permission",
            f"the API key may not restore into Qdrant at {node.url}: give the service one that may manage everything (the "
            "API key, or a token with access `m`) for as long as the restore takes, see deploy/qdrant",
            detail=exc.detail,
        ) from exc
