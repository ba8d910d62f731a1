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
from daemon.catalog.buckets import key
from scripts.benches.fleet_records import Loader, Service, at_once

BACKUP_BYTES: Final = 3_000_000_000
_CRON_EVERY: Final = 4
"""Of so many services, one has a cron expression of its own; the others are backed up once a day."""
_FAILED_EVERY: Final = 100
_ALIVE_S: Final = 3_600


async def load_standing(loader: Loader, services: Sequence[Service], now: datetime) -> None:
    """Services, states, usage and heartbeats, straight into the buckets; one service of a hundred has failed."""
    catalog = loader.catalog
    by_node: dict[str, list[Service]] = defaultdict(list)
    for service in services:
        by_node[service.node].append(service)

    async def put(numbered: tuple[int, Service]) -> None:
        number, service = numbered
        name = key(service.project, service.name)
        await catalog.services.put(name, _record(number, service, now))
        await catalog.states.put(name, _state(number, service, now))

    async def put_node(node: str) -> None:
        health = EngineHealth(reachable=True, version="17.6", role="primary")
        seen = {service.ref: health for service in by_node[node]}
        await catalog.nodes.put(node, NodeRecord(name=node, created_at=now, recipient=loader.recipient))
        await catalog.alive.put(node, Alive(node=node, seen_at=now, agent_version="1.0", services=seen), ttl_s=_ALIVE_S)

    async def put_usage(project: str) -> None:
        await catalog.usage.put(project, UsageRecord(project=project, stored_bytes=10 * BACKUP_BYTES))

    await loader.projects(services)
    await at_once(put, list(enumerate(services)))
    await at_once(put_node, sorted(by_node))
    await at_once(put_usage, sorted({service.project for service in services}))


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
