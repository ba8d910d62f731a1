"""A fleet after weeks: services with their newest runs, most of them well, and agents that see their engines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from contracts.errors import ErrorInfo
from contracts.ids import due_run_id
from contracts.policy.schedule import Cron, Daily, Schedule
from contracts.records import (
    Alive,
    EngineHealth,
    NodeRecord,
    RunState,
    RunSummary,
    ServiceRecord,
    ServiceState,
    UsageRecord,
)
from contracts.services import PostgreSQLOptions
from contracts.subjects import NODES_BUCKET, SERVICES_BUCKET, STATES_BUCKET, USAGE_BUCKET
from daemon.catalog.buckets import key
from scripts.benches.fleet_records import Loader, Service, at_once

BACKUP_BYTES: Final = 3_000_000_000
_CRON_EVERY: Final = 4
"""Of so many services, one has a cron expression of its own; the others are backed up once a day."""
_FAILED_EVERY: Final = 100
_ALIVE_S: Final = 3_600


async def load_standing(loader: Loader, services: Sequence[Service], now: datetime) -> None:
    """Services, states, usage and heartbeats, straight into the buckets; one service of a hundred has failed."""
    by_node: dict[str, list[Service]] = defaultdict(list)
    for service in services:
        by_node[service.node].append(service)
    named = [(number, key(service.project, service.name), service) for number, service in enumerate(services)]
    await loader.projects(services)
    await loader.store(SERVICES_BUCKET, ((name, _record(number, service, now)) for number, name, service in named))
    await loader.store(STATES_BUCKET, ((name, _state(number, service, now)) for number, name, service in named))
    nodes = ((node, NodeRecord(name=node, created_at=now, recipient=loader.recipient)) for node in by_node)
    await loader.store(NODES_BUCKET, nodes)
    usage = ((name, UsageRecord(project=name, stored_bytes=10 * BACKUP_BYTES)) for name in {s.project for s in services})
    await loader.store(USAGE_BUCKET, usage)

    async def beat(node: str) -> None:
        health = EngineHealth(reachable=True, version="17.6", role="primary")
        seen = {service.ref: health for service in by_node[node]}
        alive = Alive(node=node, seen_at=now, agent_version="1.0", services=seen)
        await loader.catalog.alive.put(node, alive, ttl_s=_ALIVE_S)

    await at_once(beat, sorted(by_node))


def _record(number: int, service: Service, now: datetime) -> ServiceRecord:
    schedule: Schedule = Daily(at=(now - timedelta(hours=1, seconds=number % 3_600)).strftime("%H:%M:%S"))
    if number % _CRON_EVERY == 0:
        # Several hours back and ahead: nothing of it is due while this is measured.
        schedule = Cron(expression=f"{number % 60} {(now.hour + 21) % 24} * * *")
    return ServiceRecord(
        project=service.project,
        name=service.name,
        created_at=now - timedelta(days=60),
        options=PostgreSQLOptions(),
        nodes=[service.node],
        schedule=schedule,
    )


def _state(number: int, service: Service, now: datetime) -> ServiceState:
    completed = _summary(service, now - timedelta(hours=1), RunState.COMPLETED)
    last = completed
    if number % _FAILED_EVERY == 0:
        last = _summary(service, now - timedelta(minutes=30), RunState.FAILED)
    return ServiceState(
        decided_until=now,
        last_automatic_at=completed.requested_at,
        last_size_bytes=BACKUP_BYTES,
        last_completed=completed,
        last_run=last,
    )


def _summary(service: Service, at: datetime, state: RunState) -> RunSummary:
    error = ErrorInfo(code="dump.failed", message="pg_dump ended with status 1") if state is RunState.FAILED else None
    return RunSummary(
        id=due_run_id(service.project, service.name, at),
        state=state,
        requested_at=at,
        finished_at=at + timedelta(minutes=2),
        node=service.node,
        size_bytes=BACKUP_BYTES if error is None else 0,
        elapsed_s=120.0,
        error=error,
    )
