"""Whether the artifacts together are still a whole backup."""

from __future__ import annotations

from agents.drivers.base import BackupPlan
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.node import open_nodes
from agents.drivers.qdrant.planning import coverages, look_around
from contracts.errors import RunFailed
from contracts.services import QdrantOptions


async def finish_backup(connection: QdrantConnection, options: QdrantOptions, plan: BackupPlan) -> list[str]:
    """Warnings of collections that came and went.

    Raises: RunFailed `dump.incomplete` for a shard that has left the node it was to be taken from.
    """
    planned = {name: each["snapshots"] for name, each in plan.inventory["collections"].items()}
    async with open_nodes(connection) as nodes:
        scene = await look_around(nodes, options, names_must_exist=False)
        covered = await coverages(scene, [name for name in scene.collections if name in planned])
    for name, (coverage, _) in covered.items():
        taken = {shard for shards in planned[name].values() for shard in shards}
        there = {shard for shards in coverage.shards_by_peer.values() for shard in shards}
        if new := sorted(there - taken):
            raise RunFailed(
                "dump.incomplete",
                f"collection {name!r} has got shard {', '.join(map(str, new))} while the backup was made: it was resharded",
            )
    warnings = [
        f"collection {name!r} was made while the backup was under way and is not in it"
        for name in scene.collections
        if name not in planned
    ]
    warnings += [f"collection {name!r} was removed while the backup was made" for name in planned if name not in covered]
    return warnings
