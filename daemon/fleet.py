"""All services at a glance, from one record each: no list reads the backups themselves.

What a run leaves behind in its service's state (`ServiceState.last_completed`, `last_run`) is all that lists need, so ten
thousand services are some dozens of round trips.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from contracts.control import Coming, Overview, ProjectOverview, ServiceList, Services, ServiceView
from contracts.errors import InvalidInput
from contracts.records import ProjectRecord, ServiceState, UsageRecord
from contracts.services import kind_of
from contracts.standing import Level
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog, backup_marker
from daemon.schedules import next_due
from daemon.services import is_off
from daemon.standing import Known, stand

_ATTENTION: Final = 100
_NEXT: Final = 10
_SILENT: Final = 100

_Place: TypeAlias = tuple[int, str, str]
"""Of a service in a list."""


class Fleet:
    """Views of services, one by one, in pages, and all together."""

    def __init__(self, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._now = now

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
        return _view(known, self._now())

    async def page(self, q: ServiceList) -> Services:
        """Raises: NotFound for the project, InvalidInput for a cursor that no page gave."""
        if q.project:
            await self._catalog.need_project(q.project)
        views = [view for view in await self._views(q.project) if _matches(view, q)]
        order = _worst_first if q.worst_first else _by_name
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
            owners = {stored.key: stored.value for stored in await self._catalog.projects.select()}
        views, usage, nodes, alive = await asyncio.gather(
            self._views(project),
            self._catalog.usage.select(),
            self._catalog.nodes.select(),
            self._catalog.alive.select(),
        )
        awake = {stored.key for stored in alive}
        mine = {node for view in views for node in view.record.nodes} if project else {stored.key for stored in nodes}
        return _overview(
            owners,
            views,
            {stored.key: stored.value for stored in usage},
            nodes=len(mine),
            silent=sorted(mine - awake),
            now=self._now(),
        )

    async def _views(self, project: str) -> list[ServiceView]:
        """Those of a project, or all, by name."""
        projects, services, states, active, alive = await asyncio.gather(
            self._catalog.projects.select(),
            self._catalog.services.select(project, skip_unreadable=True),
            self._catalog.states.select(project, skip_unreadable=True),
            self._catalog.active.select(key("backup", project) if project else "backup"),
            self._catalog.alive.select(),
        )
        owners = {stored.key: stored.value for stored in projects}
        known = {stored.key: stored.value for stored in states}
        running = {stored.key: stored.value.run_id for stored in active}
        awake = {stored.key: stored.value for stored in alive}
        now = self._now()
        return [
            _view(
                Known(
                    owner=owners.get(stored.value.project),
                    record=stored.value,
                    state=known.get(stored.key, ServiceState()),
                    active=running.get(backup_marker(stored.value.project, stored.value.name), ""),
                    alive=awake,
                ),
                now,
            )
            for stored in services
        ]


def _view(known: Known, now: datetime) -> ServiceView:
    record, state = known.record, known.state
    return ServiceView(
        record=record,
        kind=kind_of(record.options),
        last_completed=state.last_completed,
        last_run=state.last_run,
        active=known.active,
        next_due=None if is_off(known.owner, record) else next_due(record.effective_schedule, now),
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


def _overview(
    owners: Mapping[str, ProjectRecord],
    views: Sequence[ServiceView],
    usage: Mapping[str, UsageRecord],
    *,
    nodes: int,
    silent: Sequence[str],
    now: datetime,
) -> Overview:
    by_project: dict[str, list[ServiceView]] = {name: [] for name in owners}
    for view in views:
        by_project.setdefault(view.record.project, []).append(view)
    projects = [
        _of_project(owners[name], by_project[name], usage.get(name, UsageRecord(project=name))) for name in sorted(owners)
    ]
    projects.sort(key=lambda project: project.level.rank)
    attention = sorted((view for view in views if view.standing.level in (Level.PROBLEM, Level.WARNING)), key=_worst_first)
    coming = sorted((view.next_due, view.record.project, view.record.name) for view in views if view.next_due is not None)[
        :_NEXT
    ]
    oldest = min(
        (
            (view.last_completed.requested_at, view.record.project, view.record.name)
            for view in views
            if view.last_completed is not None and view.standing.level is not Level.OFF
        ),
        default=None,
    )
    return Overview(
        at=now,
        projects=projects,
        services=len(views),
        levels=_levels(views),
        attention=attention[:_ATTENTION],
        running=sum(bool(view.active) for view in views),
        next=[Coming(project=project, service=service, at=at) for at, project, service in coming],
        oldest=Coming(project=oldest[1], service=oldest[2], at=oldest[0]) if oldest else None,
        nodes=nodes,
        silent_nodes=list(silent[:_SILENT]),
        silent=len(silent),
    )


def _of_project(owner: ProjectRecord, views: Sequence[ServiceView], usage: UsageRecord) -> ProjectOverview:
    done = [view.last_completed.requested_at for view in views if view.last_completed is not None]
    dues = [view.next_due for view in views if view.next_due is not None]
    return ProjectOverview(
        project=owner.name,
        plan=owner.plan,
        quota_bytes=owner.quota_bytes,
        stored_bytes=usage.stored_bytes,
        reserved_bytes=usage.reserved_bytes,
        services=len(views),
        levels=_levels(views),
        running=sum(bool(view.active) for view in views),
        last_completed_at=max(done, default=None),
        next_due=min(dues, default=None),
        deletion=owner.deletion,
    )


def _levels(views: Sequence[ServiceView]) -> dict[Level, int]:
    counts = Counter(view.standing.level for view in views)
    return {level: counts[level] for level in Level}


def _by_name(view: ServiceView) -> _Place:
    return 0, view.record.project, view.record.name


def _worst_first(view: ServiceView) -> _Place:
    return view.standing.level.rank, view.record.project, view.record.name
