"""Which node does the work: a pure decision that says why.

A node is healthy when its agent is alive, reaches the engine, holds every part of the data, and the engine is a primary, a
replica close behind one, or of a kind that knows no roles.  A run that was due goes to any healthy node; one that somebody
asked for goes to the node that was named, else to the primary, else to the first healthy node in the service's list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from contracts.errors import InvalidInput, Unavailable
from contracts.records import Alive, EngineHealth, ServiceRecord

MOST_LAG_S: Final = 300.0
"""A replica that is further behind would back up what was true five minutes ago; measured by its own agent."""
_ROLES: Final = frozenset({"", "primary", "replica"})


class Placement(msgspec.Struct, frozen=True):
    node: str
    reason: str


def place_requested(service: ServiceRecord, alive: Mapping[str, Alive], wanted: str = "") -> Placement:
    """The node for a run that somebody asked for: they wait for an answer, so there is one at once.

    A node that is not healthy is taken when there is no better, so that the run fails with the engine's own reason.
    Raises: InvalidInput for a wanted node that does not serve the service, Unavailable `node.unavailable`.
    """
    ref = _ref(service)
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
    return _best(service, candidates, alive)


def place_due(
    service: ServiceRecord, alive: Mapping[str, Alive], run_id: str, *, without: Collection[str] = ()
) -> Placement | None:
    """The healthy node for a run that was due, the same for the same run; None when there is none to be had now.

    Over many runs every healthy node gets its share: the one is drawn by a hash of run and node.
    """
    ref = _ref(service)
    healthy = [
        node
        for node in service.nodes
        if node in alive and node not in without and not find_fault(alive[node].services.get(ref))
    ]
    if not healthy:
        return None
    node = min(healthy, key=lambda each: hashlib.sha256(f"{run_id}/{each}".encode()).digest())
    role = (alive[node].services[ref].role) or "healthy"
    if len(healthy) == 1:
        why = "the only node of the service" if len(service.nodes) == 1 else f"the only healthy node, {role}"
    else:
        why = f"drawn from {len(healthy)} healthy nodes, {role}"
    return Placement(node, why)


def place_at_last(service: ServiceRecord, alive: Mapping[str, Alive], *, without: Collection[str] = ()) -> Placement | None:
    """The least bad node for a run that has waited long enough for a healthy one; None when no agent is alive."""
    candidates = [node for node in service.nodes if node in alive and node not in without]
    return _best(service, candidates, alive) if candidates else None


def find_fault(health: EngineHealth | None) -> str:
    """Why a node is not healthy, in words; empty when it is."""
    if health is None:
        return "its agent is not configured for the service"
    if not health.reachable:
        return "it does not reach the engine"
    if health.missing_shards:
        return f"it does not hold all data: {', '.join(health.missing_shards[:5])} missing"
    if health.role not in _ROLES:
        return f"the engine there is {health.role}"
    if health.lag_s is not None and health.lag_s > MOST_LAG_S:
        return f"it is {health.lag_s:.0f} s behind"
    return ""


def _best(service: ServiceRecord, candidates: Sequence[str], alive: Mapping[str, Alive]) -> Placement:
    ref = _ref(service)
    seen = {node: alive[node].services.get(ref) for node in candidates}
    best = min(candidates, key=lambda node: (_rank(seen[node]), service.nodes.index(node)))
    fault = find_fault(seen[best])
    if len(service.nodes) == 1:
        return Placement(best, f"the only node of the service{f', though {fault}' if fault else ''}")
    if fault:
        return Placement(best, f"no better node is alive, though {fault}")
    health = seen[best]
    assert health is not None, "without a fault the node's agent has seen the engine"
    words = {"primary": "the primary", "replica": "a replica: the primary's agent is not alive or does not reach it"}
    return Placement(best, words.get(health.role, "the first healthy node of the service's list"))


def _rank(health: EngineHealth | None) -> tuple[int, float]:
    """The lower the better."""
    if health is None:
        return (4, 0.0)
    if not health.reachable:
        return (3, 0.0)
    if find_fault(health):
        return (2, health.lag_s or 0.0)
    return (1 if health.role == "replica" else 0, 0.0)


def _ref(service: ServiceRecord) -> str:
    return f"{service.project}/{service.name}"
