"""Which backups may go so that a new one fits into the project's quota: only what no policy insists on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter

from contracts.policy.retention import RetentionPlan, Rule, Verdict

Freed = tuple[str, Verdict]
"""A service and one of its backups."""


def plan_room(plans: Mapping[str, RetentionPlan], needed_bytes: int, first: str) -> Sequence[Freed]:
    """What to delete, in this order, to free at least `needed_bytes`; nothing when that much cannot be freed.

    Of each service's plan only what is merely within its limits may go: never what is protected, held by a minimum, or
    frozen, nor what would free nothing.  The service `first`, which needs the room, gives up its own before others give
    theirs; oldest first.
    """
    own = _dispensable(first, plans[first]) if first in plans else []
    others = [freed for service, plan in plans.items() if service != first for freed in _dispensable(service, plan)]
    others.sort(key=lambda freed: (freed[1].run.at, freed[0]))
    chosen: list[Freed] = []
    freed_bytes = 0
    for freed in (*own, *others):
        if freed_bytes >= needed_bytes:
            break
        chosen.append(freed)
        freed_bytes += freed[1].run.size_bytes
    return chosen if freed_bytes >= needed_bytes else []


def _dispensable(service: str, plan: RetentionPlan) -> list[Freed]:
    """Oldest first; the newest completed backup of a service always stays, whatever its minimums say."""
    if plan.freeze is not None:
        return []
    newest = max((verdict.run for verdict in plan.kept), key=attrgetter("at"), default=None)
    return [
        (service, verdict)
        for verdict in reversed(plan.verdicts)
        if verdict.rule is Rule.WITHIN_LIMITS and verdict.run is not newest and verdict.run.size_bytes > 0
    ]
