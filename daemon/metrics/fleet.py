"""The whole fleet as Prometheus sees it: how safe every service is, what projects hold, which nodes live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec

from contracts.control import ServiceView
from contracts.records import Alive, ProjectRecord, RunState, UsageRecord
from contracts.standing import CauseCode, Level
from daemon.metrics.gauges import Gauge, labels
from daemon.metrics.intervals import longest_gap_s

LEVELS: Final = {Level.OFF: -1, Level.GOOD: 0, Level.WARNING: 1, Level.PROBLEM: 2}
"""The value of `strongroom_service_level`: the higher the worse."""
_BAD: Final = frozenset({RunState.FAILED, RunState.MISSED})


class FleetSnapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of the fleet at one moment."""

    views: Sequence[ServiceView]
    projects: Sequence[ProjectRecord]
    usage: Mapping[str, UsageRecord]
    nodes: Mapping[str, Alive | None]
    """All that are registered; None for one that is silent."""
    requests: Mapping[str, int]
    """How many lie in the queues of nodes, those being worked on included."""
    reports: int
    """How many wait for a coordinator."""
    at: datetime


def fleet_gauges(fleet: FleetSnapshot) -> Iterator[Gauge]:
    """Gauges of services, projects, nodes and queues; what was deleted is left out."""
    at = Gauge(
        "strongroom_fleet_snapshot_timestamp_seconds",
        "When the fleet was looked at; what is said of it is some seconds old.",
    )
    at.add("", fleet.at.timestamp())
    yield at
    yield from _of_services([view for view in fleet.views if not _is_deleted(view)])
    yield from _of_projects(fleet)
    yield from _of_nodes(fleet)
    reports = Gauge("strongroom_reports_waiting", "Agents' reports that no coordinator has dealt with yet.")
    reports.add("", fleet.reports)
    yield reports


def _of_services(views: Sequence[ServiceView]) -> Iterator[Gauge]:
    good = Gauge(
        "strongroom_service_newest_good_backup_timestamp_seconds",
        "When the newest backup that can be restored was asked for; 0 where there is none.",
    )
    size = Gauge(
        "strongroom_service_newest_good_backup_size_bytes", "Stored bytes of the newest backup that can be restored."
    )
    lasted = Gauge(
        "strongroom_service_newest_good_backup_duration_seconds",
        "How long the newest backup that can be restored took.",
    )
    level = Gauge("strongroom_service_level", "How it stands: 2 problem, 1 warning, 0 good, -1 off.")
    failed = Gauge("strongroom_service_last_run_failed", "1 where the newest run that has ended failed or was missed.")
    running = Gauge("strongroom_service_backup_running", "1 while a backup is under way; absent otherwise.")
    due = Gauge("strongroom_service_next_due_timestamp_seconds", "When it is due next; absent where its schedule is off.")
    since = Gauge("strongroom_service_scheduled_since_timestamp_seconds", "Since when its schedule counts.")
    gap = Gauge(
        "strongroom_service_schedule_interval_seconds",
        "How far apart its due times are at most; absent where its schedule is off.",
    )
    frozen = Gauge(
        "strongroom_service_retention_frozen",
        "1 while retention deletes nothing because the newest backups look unhealthy; absent otherwise.",
    )
    for view in views:
        record, newest = view.record, view.last_completed
        of = labels(project=record.project, service=record.name)
        good.add(of, newest.requested_at.timestamp() if newest is not None else 0)
        if newest is not None:
            size.add(of, newest.size_bytes)
            if newest.elapsed_s is not None:
                lasted.add(of, newest.elapsed_s)
        level.add(of, LEVELS[view.standing.level])
        failed.add(of, view.last_run is not None and view.last_run.state in _BAD)
        if view.active:
            running.add(of, 1)
        if view.freeze is not None:
            frozen.add(of, 1)
        if view.next_due is not None:
            due.add(of, view.next_due.timestamp())
            since.add(of, record.due_after.timestamp())
            longest_s = longest_gap_s(record.effective_schedule)
            if longest_s is not None:
                gap.add(of, longest_s)
    yield from (good, size, lasted, level, failed, running, due, since, gap, frozen)


def _of_projects(fleet: FleetSnapshot) -> Iterator[Gauge]:
    quota = Gauge("strongroom_project_quota_bytes", "What all backups of a project may take together.")
    stored = Gauge("strongroom_project_stored_bytes", "What its completed backups take.")
    reserved = Gauge("strongroom_project_reserved_bytes", "What is held for runs under way.")
    running = Gauge("strongroom_project_backups_running", "Backups under way.")
    services = Gauge("strongroom_project_services", "Services by how they stand.")
    counts = Counter((view.record.project, view.standing.level) for view in fleet.views if not _is_deleted(view))
    active = Counter(view.record.project for view in fleet.views if view.active)
    for project in fleet.projects:
        if project.deletion is not None:
            continue
        name = project.name
        usage = fleet.usage.get(name, UsageRecord(project=name))
        of = labels(project=name)
        quota.add(of, project.quota_bytes)
        stored.add(of, usage.stored_bytes)
        reserved.add(of, usage.reserved_bytes)
        running.add(of, active[name])
        for level in Level:
            services.add(labels(project=name, level=level), counts[name, level])
    yield from (quota, stored, reserved, running, services)


def _of_nodes(fleet: FleetSnapshot) -> Iterator[Gauge]:
    alive = Gauge("strongroom_node_alive", "1 while its agent's heartbeats arrive.")
    seen = Gauge(
        "strongroom_node_last_heartbeat_timestamp_seconds",
        "When its agent was heard last; absent while it is silent.",
    )
    waiting = Gauge("strongroom_node_requests", "Requests in its queue, those that its agent works on included.")
    for node, heard in fleet.nodes.items():
        of = labels(node=node)
        alive.add(of, heard is not None)
        if heard is not None:
            seen.add(of, heard.seen_at.timestamp())
        waiting.add(of, fleet.requests.get(node, 0))
    yield from (alive, seen, waiting)


def _is_deleted(view: ServiceView) -> bool:
    return view.standing.level is Level.OFF and any(cause.code is CauseCode.DELETED for cause in view.standing.causes)
