"""Which node does the work: a pure decision that says why."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from contracts.errors import InvalidInput, Unavailable
from contracts.records import Alive, EngineHealth, ServiceRecord


class Placement(msgspec.Struct, frozen=True):
    node: str
    reason: str


def place(service: ServiceRecord, alive: Mapping[str, Alive], wanted: str = "") -> Placement:
    """The node for a run that somebody asked for: the one wanted, else the primary, else the best that is alive.

    A node whose agent cannot reach the engine is taken when there is no better, so that the run fails with the reason.
    Raises: InvalidInput for a wanted node that does not serve the service, Unavailable `node.unavailable`.
    """
    ref = f"{service.project}/{service.name}"
    if wanted:
        if wanted not in service.nodes:
            raise InvalidInput(
                "input.invalid",
                f"node {wanted!r} does not serve {ref}; its nodes are {', '.join(service.nodes)}",
                field="node",
            )
        if wanted not in alive:
            raise Unavailable(
                "node.unavailable", f"the agent on node {wanted!r} is not alive: start it there, then try again"
            )
        return Placement(wanted, "asked for by name")
    candidates = [node for node in service.nodes if node in alive]
    if not candidates:
        raise Unavailable(
            "node.unavailable",
            f"no agent of {ref} is alive: start strongroom-agent on {' or '.join(service.nodes)}, then try again",
        )
    best = min(candidates, key=lambda node: (_rank(alive[node].services.get(ref)), service.nodes.index(node)))
    return Placement(best, _reason(alive[best].services.get(ref), alone=len(service.nodes) == 1))


def _rank(health: EngineHealth | None) -> int:
    if health is None:
        return 3
    if not health.reachable:
        return 2
    return 1 if health.role == "replica" else 0


def _reason(health: EngineHealth | None, *, alone: bool) -> str:
    if alone:
        return "the only node of the service"
    if health is None or not health.reachable:
        return "alive, though no node reaches the engine"
    return {"primary": "the primary", "replica": "a replica: the primary's agent is not alive"}.get(health.role, "healthy")
