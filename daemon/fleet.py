"""All services at a glance, from one record each: no list reads the backups themselves.

What a run leaves behind in its service's state (`ServiceState.last_completed`, `last_run`) is all that lists need.  Those
records are held in memory, and with them what follows from their schedules, so that a look at ten thousand services costs
what has changed since the look before, and the heartbeats of their nodes.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, TypeAlias

import structlog

from contracts.control import Overview, ServiceList, Services, ServiceView
from contracts.errors import InvalidInput, StrongroomError
from contracts.records import ActiveRun, Alive, ProjectRecord, ServiceRecord, ServiceState
from contracts.services import kind_of
from daemon.catalog.buckets import Stored, key
from daemon.catalog.catalog import Catalog, backup_marker
from daemon.catalog.mirror import TRUSTED_S, Mirror
from daemon.overview import overview_of, worst_first
from daemon.schedules import next_due
from daemon.services import is_off
from daemon.standing import Known, first_due, stand

log = structlog.get_logger()

_LOOK_EVERY_S: Final = TRUSTED_S / 5
"""So often the records in memory are looked after while nobody asks, so that whoever does need not wait for all of them."""

_IN_ONE_GO: Final = 100
"""Services whose schedules are followed before others get their turn; a cron expression takes a millisecond."""

_Place: TypeAlias = tuple[int, str, str]
"""Of a service in a list."""


class _Dues:
    """What follows from a service's schedule, for as long as its records are these."""

    __slots__ = ("_found_at", "_next", "first", "service", "state")

    def __init__(self, service: Stored[ServiceRecord], state: Stored[ServiceState] | None) -> None:
        self.service = service
        self.state = state
        self.first = first_due(service.value, state.value if state else ServiceState())
        self._next: datetime | None = None
        self._found_at: datetime | None = None

    def next(self, now: datetime) -> datetime | None:
        """The next one after now.  It stays so until it is reached, or the clock is set back."""
        is_known = self._found_at is not None and self._found_at <= now and (self._next is None or now < self._next)
        if not is_known:
            self._next, self._found_at = next_due(self.service.value.effective_schedule, now), now
        return self._next


class Fleet:
    """Views of services, one by one, in pages, and all together."""

    def __init__(self, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._now = now
        self._projects = Mirror(catalog.projects)
        self._services = Mirror(catalog.services)
        self._states = Mirror(catalog.states)
        self._active = Mirror(catalog.active)
        self._usage = Mirror(catalog.usage)
        self._nodes = Mirror(catalog.nodes)
        self._dues: dict[str, _Dues] = {}

    async def keep(self) -> None:
        """Looks after the records in memory, until cancelled."""
        while True:
            try:
                for mirror in (self._projects, self._services, self._states, self._active, self._usage, self._nodes):
                    await mirror.look()
                await self._follow_schedules()
            except StrongroomError as exc:
                log.warning("fleet.postponed", code=exc.code, reason=exc.message)
            except Exception:
                log.exception("fleet.failed")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def view(self, project: str, service: str) -> ServiceView:
        """Raises: NotFound."""
        owner = (await self._catalog.need_project(project)).value
        record = (await self._catalog.need_service(project, service)).value
        active = await self._catalog.active.get(backup_marker(project, service))
        state = await self._catalog.states.get(key(project, service))
        alive = [await self._catalog.alive.get(node) for node in record.nodes]
        known = Known(
            owner=owner,
            record=record,
            state=state.value if state else ServiceState(),
            active=active.value.run_id if active else "",
            alive={each.key: each.value for each in alive if each is not None},
        )
        now = self._now()
        return _view(known, None if is_off(owner, record) else next_due(record.effective_schedule, now), now)

    async def page(self, q: ServiceList) -> Services:
        """Raises: NotFound for the project, InvalidInput for a cursor that no page gave."""
        if q.project:
            await self._catalog.need_project(q.project)
        views = [view for view in await self.all(q.project) if _matches(view, q)]
        order = worst_first if q.worst_first else _by_name
        views.sort(key=order)
        start = bisect_right(views, _parse_cursor(q.cursor), key=order) if q.cursor else 0
        page = views[start : start + q.limit]
        more = start + q.limit < len(views)
        return Services(services=page, next_cursor=_cursor(order(page[-1])) if more else "", total=len(views))

    async def overview(self, project: str) -> Overview:
        """Raises: NotFound for the project."""
        if project:
            owners = {project: (await self._catalog.need_project(project)).value}
        else:
            owners = {stored.key: stored.value for stored in (await self._projects.look()).values()}
        usage, nodes, alive = await asyncio.gather(self._usage.look(), self._nodes.look(), self._alive())
        views = await self._views(project, alive)
        mine = {node for view in views for node in view.record.nodes} if project else set(nodes)
        return overview_of(
            owners,
            views,
            {stored.key: stored.value for stored in usage.values()},
            nodes=len(mine),
            silent=sorted(mine - alive.keys()),
            now=self._now(),
        )

    async def all(self, project: str = "") -> list[ServiceView]:
        """Those of a project, or of all, by name."""
        return await self._views(project, await self._alive())

    async def _alive(self) -> Mapping[str, Alive]:
        """Read as a whole: what expires by its TTL leaves no trace."""
        return {stored.key: stored.value for stored in await self._catalog.alive.select()}

    async def _views(self, project: str, alive: Mapping[str, Alive]) -> list[ServiceView]:
        projects, services, states, active = await asyncio.gather(
            self._projects.look(), self._services.look(), self._states.look(), self._active.look()
        )
        await self._follow_schedules()
        now = self._now()
        return [
            self._view(stored, states.get(stored.key), projects, active, alive, now)
            for _, stored in sorted(services.items())
            if not project or stored.value.project == project
        ]

    async def _follow_schedules(self) -> None:
        """Finds out what is due of services that are new or have changed; of thousands of them, others get their turn."""
        services, states = self._services.records, self._states.records
        if len(self._dues) > 2 * len(services):
            self._dues = {name: dues for name, dues in self._dues.items() if name in services}
        for number, service in enumerate(list(services.values()), start=1):
            self._dues_of(service, states.get(service.key)).next(self._now())
            if number % _IN_ONE_GO == 0:
                await asyncio.sleep(0)

    def _dues_of(self, service: Stored[ServiceRecord], state: Stored[ServiceState] | None) -> _Dues:
        dues = self._dues.get(service.key)
        # Whatever was written since is another value, held by nobody else.
        if dues is None or dues.service is not service or dues.state is not state:
            dues = self._dues[service.key] = _Dues(service, state)
        return dues

    def _view(
        self,
        service: Stored[ServiceRecord],
        state: Stored[ServiceState] | None,
        projects: Mapping[str, Stored[ProjectRecord]],
        active: Mapping[str, Stored[ActiveRun]],
        alive: Mapping[str, Alive],
        now: datetime,
    ) -> ServiceView:
        record = service.value
        owner, marker = projects.get(record.project), active.get(backup_marker(record.project, record.name))
        dues = self._dues_of(service, state)
        known = Known(
            owner=owner.value if owner else None,
            record=record,
            state=state.value if state else ServiceState(),
            active=marker.value.run_id if marker else "",
            alive=alive,
            first_due=dues.first,
        )
        return _view(known, None if is_off(known.owner, record) else dues.next(now), now)


def _view(known: Known, due: datetime | None, now: datetime) -> ServiceView:
    record, state = known.record, known.state
    return ServiceView(
        record=record,
        kind=kind_of(record.options),
        last_completed=state.last_completed,
        last_run=state.last_run,
        active=known.active,
        next_due=due,
        freeze=state.freeze,
        standing=stand(known, now),
    )


def _matches(view: ServiceView, q: ServiceList) -> bool:
    if q.level is not None and view.standing.level is not q.level:
        return False
    if not q.search:
        return True
    record = view.record
    text = f"{record.project}/{record.name} {view.kind} {' '.join(record.nodes)}"
    return all(word in text for word in q.search.lower().split())


def _cursor(place: _Place) -> str:
    """Where a page ended, by the order of the list: what came or went meanwhile neither repeats nor hides others."""
    rank, project, service = place
    return f"{rank}.{project}.{service}"


def _parse_cursor(cursor: str) -> _Place:
    """Raises: InvalidInput."""
    rank, _, rest = cursor.partition(".")
    project, dot, service = rest.partition(".")
    if not rank.isdecimal() or not dot:
        raise InvalidInput("input.invalid", "this cursor was not given by a page of this list", field="cursor")
    return int(rank), project, service


def _by_name(view: ServiceView) -> _Place:
    return 0, view.record.project, view.record.name
