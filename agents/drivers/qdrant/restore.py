"""One snapshot back into a node, as a collection: streamed into a free name, or with care in another's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agents.drivers.base import Confirm, RestoreSink, confirmed
from agents.drivers.pipes import piped_restore
from agents.drivers.qdrant.attributes import CollectionAttributes, collection_attributes
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.node import Node, open_nodes, reachable_nodes
from agents.drivers.qdrant.replacing import Replacing
from agents.drivers.qdrant.restore_work import RestoreWork
from agents.drivers.qdrant.streaming import Streaming
from agents.drivers.qdrant.targets import check_free, target_name
from agents.drivers.qdrant.uploading import Upload
from contracts.records import ArtifactRecord, RestoreTarget


@asynccontextmanager
async def start_collection_restore(
    connection: QdrantConnection,
    artifact: ArtifactRecord,
    target: RestoreTarget,
    run_id: str,
    *,
    work_dir: Path,
    made: set[str],
    confirm: Confirm = confirmed,
) -> AsyncIterator[RestoreSink]:
    """`made` are the collections that this restore has made already, from other parts of theirs; it is added to.

    Raises: Conflict `restore.target_not_empty`, RunFailed `engine.*`.
    """
    attributes = collection_attributes(artifact)
    name = target_name(artifact, attributes, target)
    async with open_nodes(connection) as nodes:
        reached, failures = await reachable_nodes(nodes)
        if failures:
            raise failures[0]
        node = await _choose_node(reached, attributes)
        collections, aliases = await node.collections(), await node.aliases()
        further_part = name in made
        if not further_part:
            check_free(name, collections=collections, aliases=aliases, replace=target.replace, place=node.url)
        shards = [int(shard) for shard in attributes.shards]
        upload = Upload(node, name, f"strongroom-{run_id}-{attributes.part}.snapshot", shards)
        work = RestoreWork(artifact, attributes, upload, further_part=further_part)
        if name in collections and not further_part:
            restoring = Replacing(work, run_id, work_dir)
            async with (
                restoring.room(),
                piped_restore(restoring.consume, restoring.place, name=name, confirm=confirm) as sink,
            ):
                yield sink
        else:
            streaming = Streaming(work)
            async with (
                streaming.room(),
                piped_restore(streaming.consume, streaming.place, name=name, confirm=confirm) as sink,
            ):
                yield sink
        if sink.is_finished:
            made.add(name)


async def _choose_node(nodes: list[Node], attributes: CollectionAttributes) -> Node:
    """The one that the snapshot is of, where that is in this cluster; otherwise each part goes to a node of its own."""
    statuses = await asyncio.gather(*(node.cluster_status() for node in nodes))
    for node, status in zip(nodes, statuses, strict=True):
        if status is not None and str(status.peer_id) == attributes.peer:
            return node
    return nodes[(attributes.part - 1) % len(nodes)]
