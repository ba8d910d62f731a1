"""The bytes of one artifact."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec

from agents.drivers.base import DumpSource, PlannedArtifact
from agents.drivers.http_engine import EngineRefused
from agents.drivers.pipes import PipeWriter, piped_dump
from agents.drivers.qdrant.attributes import ALIASES_KIND, CollectionAttributes
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.making import MadeSnapshot, made_snapshot
from agents.drivers.qdrant.node import Node, open_nodes, reachable_nodes
from agents.drivers.qdrant.snapshot_tar import SnapshotWalk
from contracts.errors import Corrupt, RunFailed


def start_dump(
    connection: QdrantConnection, artifact: PlannedArtifact, work_dir: Path
) -> AbstractAsyncContextManager[DumpSource]:
    """One of the plan's."""

    async def produce(pipe: PipeWriter) -> list[str]:
        async with open_nodes(connection) as nodes:
            reached, _ = await reachable_nodes(nodes)
            if artifact.kind == ALIASES_KIND:
                await pipe.write(await aliases_document(reached[0]))
                return []
            attributes = msgspec.convert(artifact.attributes, CollectionAttributes)
            node = await _node_of(reached, attributes)
            return await _dump_snapshot(node, attributes, work_dir, pipe)

    return piped_dump(produce, name=artifact.name)


async def aliases_document(node: Node) -> bytes:
    """JSON: `actions` as `POST /collections/aliases` takes them, and `collections` with each one's configuration."""
    aliases = await node.aliases()
    actions = [
        {"create_alias": {"alias_name": alias, "collection_name": collection}} for alias, collection in aliases.items()
    ]
    collections: dict[str, Any] = {}
    for name in await node.collections():
        try:
            info = await node.info(name)
        except EngineRefused as exc:
            if exc.status != 404:
                raise
            continue
        collections[name] = {"config": info.config, "payload_schema": info.payload_schema}
    return msgspec.json.format(msgspec.json.encode({"actions": actions, "collections": collections}), indent=1)


async def _node_of(nodes: list[Node], attributes: CollectionAttributes) -> Node:
    known = False
    for node in nodes:
        try:
            view = await node.cluster(attributes.collection)
        except EngineRefused as exc:
            if exc.status != 404:
                raise
            continue
        known = True
        if str(view.peer_id) == attributes.peer:
            return node
    if not known:
        where = ", ".join(node.url for node in nodes)
        what = f"collection {attributes.collection!r} has gone from Qdrant at {where} since the backup began"
        raise RunFailed("dump.failed", what)
    raise RunFailed("engine.unreachable", f"peer {attributes.peer} of the Qdrant cluster does not answer any more")


async def _dump_snapshot(node: Node, attributes: CollectionAttributes, work_dir: Path, pipe: PipeWriter) -> list[str]:
    async with made_snapshot(node, attributes.collection, work_dir) as made:
        warnings = await _download(node, attributes, made, pipe)
    return warnings + made.warnings


async def _download(node: Node, attributes: CollectionAttributes, made: MadeSnapshot, pipe: PipeWriter) -> list[str]:
    """Raises: RunFailed `dump.failed`, `dump.incomplete`."""
    snapshot, walk, digest = made.snapshot, SnapshotWalk(), hashlib.sha256()
    what = f"the snapshot {snapshot.name} of collection {attributes.collection!r} from {node.url}"
    try:
        async with node.download(attributes.collection, snapshot.name) as pieces:
            async for piece in pieces:
                await asyncio.to_thread(digest.update, piece)
                walk.feed(piece)
                await pipe.write(piece)
    except EngineRefused as exc:
        if exc.status != 404:
            raise
        lost = f"{what} was gone before it could be downloaded: was Qdrant restarted, or did somebody remove it?"
        raise RunFailed("dump.failed", lost) from exc
    except Corrupt as exc:
        raise RunFailed("dump.incomplete", f"{what} is damaged: {exc.message}") from exc
    if walk.size_bytes != snapshot.size:
        raise RunFailed("dump.incomplete", f"{what} has {snapshot.size} bytes, but {walk.size_bytes} came")
    if snapshot.checksum is not None and snapshot.checksum.strip().lower() != digest.hexdigest():
        raise RunFailed(
            "dump.incomplete",
            f"{what} came damaged: the server states the SHA-256 {snapshot.checksum}, and it is {digest.hexdigest()}",
        )
    try:
        walk.finish()
    except Corrupt as exc:
        raise RunFailed("dump.incomplete", f"{what} is not whole: {exc.message}") from exc
    missing = [shard for shard in attributes.shards if int(shard) not in walk.shards]
    if missing:
        raise RunFailed("dump.incomplete", f"{what} has nothing of shard {', '.join(missing)}, which should be in it")
    if snapshot.checksum is None:
        return [f"Qdrant at {node.url} states no checksum of its snapshots: only their size and form were checked"]
    return []
