"""Which nodes to take snapshots from, so that every shard is in one.  Pure.

A snapshot holds the shards that its own node has, so that of a cluster several may be needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agents.drivers.qdrant.answers import ACTIVE, CollectionCluster


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Of one collection."""

    shards_by_peer: Mapping[int, list[int]]
    """The nodes to take snapshots from, and which shards they have whole."""
    missing: list[str]
    """Shards that no reached node has whole, in words: `1 (peer 2222: Dead)`."""


def cover(views: Iterable[CollectionCluster]) -> Coverage:
    """What the nodes that were reached say of one collection, each for itself; the node's own word counts most."""
    states: dict[int, dict[int, str]] = {}
    reached: list[int] = []
    shard_count = 0
    for view in views:
        reached.append(view.peer_id)
        shard_count = max(shard_count, view.shard_count)
        for remote in view.remote_shards:
            states.setdefault(remote.shard_id, {}).setdefault(remote.peer_id, remote.state)
        for local in view.local_shards:
            states.setdefault(local.shard_id, {})[view.peer_id] = local.state
    whole = {
        peer: {shard for shard, replicas in states.items() if replicas.get(peer) == ACTIVE} for peer in sorted(set(reached))
    }
    wanted = set(states)
    open_shards = wanted & set().union(*whole.values())
    chosen: dict[int, list[int]] = {}
    while open_shards:
        # The one with the most of what is still missing: not always the fewest of all, but few.
        peer = max(whole, key=lambda peer: (len(whole[peer] & open_shards), -peer))
        chosen[peer] = sorted(whole[peer])
        open_shards -= whole[peer]
    for peer in list(chosen):
        others = set().union(*(shards for each, shards in chosen.items() if each != peer))
        if others >= set(chosen[peer]):  # those that were chosen after it have made it superfluous
            del chosen[peer]
    missing = sorted(wanted - set().union(*whole.values()))
    described = [f"{shard} ({_replicas(states[shard])})" for shard in missing]
    # Shards of which nobody has said anything: there must be as many as the collection counts.
    described += ["unknown to every node that was reached"] * (shard_count > len(wanted))
    return Coverage(shards_by_peer=dict(sorted(chosen.items())), missing=described)


def _replicas(states: Mapping[int, str]) -> str:
    return ", ".join(f"peer {peer}: {state}" for peer, state in sorted(states.items()))
