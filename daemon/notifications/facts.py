"""What decisions about alerts follow from beside the events: read from the records when it is needed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence

from contracts.events import Event
from contracts.policy.alert_values import Known
from contracts.policy.alerts import Decide
from contracts.policy.alerts_of_quotas import after_quota_event
from contracts.records import RunSummary
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog


class Facts:
    """Read-only."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    async def last_good(self, project: str, service: str) -> RunSummary | None:
        """The service's newest completed backup."""
        state = await self._catalog.states.get(key(project, service))
        return state.value.last_completed if state is not None else None

    async def quota_decision(self, project: str, events: Sequence[Event], known: Known) -> Decide | None:
        """How to decide about the project's quota after these events; None for a project that is gone."""
        owner = await self._catalog.projects.get(project)
        if owner is None or owner.value.deletion is not None:
            return None
        quota_bytes = owner.value.quota_bytes
        stored = await self._catalog.usage.get(project)
        used_bytes = 0
        if stored is not None:
            # A backup is stated to be completed before its bytes are put to the account, where it is still reserved for.
            runs = {f"{event.service}/{event.backup_id}": event.size_bytes or 0 for event in events if _is_good(event)}
            used_bytes = stored.value.stored_bytes + sum(runs[run] for run in runs.keys() & stored.value.reserved.keys())
        return lambda watch, event: after_quota_event(watch, event, known, used_bytes, quota_bytes)

    async def served(self, node: str) -> dict[str, list[str]]:
        """The projects that the node serves, each with its services that no other agent can back up now."""
        projects, services, alive = await asyncio.gather(
            self._catalog.projects.select(),
            self._catalog.services.select(skip_unreadable=True),
            self._catalog.alive.select(),
        )
        live = {stored.key for stored in projects if stored.value.deletion is None}
        others = {stored.key for stored in alive} - {node}
        served: defaultdict[str, list[str]] = defaultdict(list)
        for service in (stored.value for stored in services):
            if service.deletion is None and service.project in live and node in service.nodes:
                lost = served[service.project]
                if not others & set(service.nodes):
                    lost.append(service.name)
        return dict(served)


def _is_good(event: Event) -> bool:
    return event.type == "backup.completed"
