"""The answer to "are we safe?", summed up from the views of all services: no clock, no bus, no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from contracts.control import Coming, Overview, ProjectOverview, ServiceView
from contracts.records import ProjectRecord, UsageRecord
from contracts.standing import Level

_UNDER_WAY: Final = 20
_ATTENTION: Final = 100
_NEXT: Final = 10
_SILENT: Final = 100


def overview_of(
    owners: Mapping[str, ProjectRecord],
    views: Sequence[ServiceView],
    usage: Mapping[str, UsageRecord],
    *,
    nodes: int,
    silent: Sequence[str],
    now: datetime,
) -> Overview:
    """`owners` are the projects to tell of, `views` the services of these, `nodes` and `silent` the nodes of all of them."""
    by_project: dict[str, list[ServiceView]] = {name: [] for name in owners}
    for view in views:
        by_project.setdefault(view.record.project, []).append(view)
    projects = [
        _of_project(owners[name], by_project[name], usage.get(name, UsageRecord(project=name))) for name in sorted(owners)
    ]
    projects.sort(key=lambda project: project.level.rank)
    attention = sorted((view for view in views if view.standing.level in (Level.PROBLEM, Level.WARNING)), key=worst_first)
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
        under_way=sorted((view for view in views if view.active), key=lambda view: view.active)[:_UNDER_WAY],
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


def worst_first(view: ServiceView) -> tuple[int, str, str]:
    """The place of a service in a list that begins with those in trouble."""
    return view.standing.level.rank, view.record.project, view.record.name
