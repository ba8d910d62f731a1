"""Which agents are alive, as placement wants to know it."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.records import Alive
from daemon.runs.runs import Runs


async def alive_nodes(runs: Runs, nodes: Sequence[str]) -> dict[str, Alive]:
    """Those of the nodes whose heartbeat is fresh."""
    found = [(node, await runs.catalog.alive.get(node)) for node in nodes]
    return {node: stored.value for node, stored in found if stored is not None}
