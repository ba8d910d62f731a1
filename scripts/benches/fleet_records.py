"""What is there before a fleet is measured: projects, services, nodes with their queues, and earlier backups.

Written straight into the buckets as the coordinator would have written it, many at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

import msgspec
from nats.aio.client import Client
from nats.js.api import PubAck

from contracts.age import Identity
from contracts.ids import due_run_id
from contracts.object_keys import artifact_key, manifest_key
from contracts.policy.schedule import Daily
from contracts.records import (
    ArtifactRecord,
    BackupRecord,
    NodeRecord,
    ProjectRecord,
    RunState,
    ServiceRecord,
    Trigger,
    UsageRecord,
)
from contracts.services import PostgreSQLOptions
from contracts.subjects import BACKUPS_BUCKET
from contracts.wire import encode, utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ACK_WAIT_S, ensure_node_consumer, ensure_topology
from daemon.runs.events import EventPublisher

T = TypeVar("T")

_AT_ONCE: Final = 200
_IN_FLIGHT: Final = 2_000
"""Unacknowledged records: the server stores what waits for its disk together."""
RECORDS_PER_SERVICE: Final = 50
"""What retention keeps of a service by default."""
_STORED_BYTES: Final = 1_000
"""As little as a simulated agent uploads, so that nothing looks suspiciously small beside it."""
_SHA256: Final = hashlib.sha256(b"").hexdigest()


class Service(msgspec.Struct, frozen=True):
    """A service of the fleet and the one node that serves it."""

    project: str
    name: str
    node: str

    @property
    def ref(self) -> str:
        return f"{self.project}/{self.name}"


def fleet_services(services: int, nodes: int, per_project: int) -> list[Service]:
    """The services of a fleet, spread evenly over its nodes."""
    return [Service(f"p{number // per_project:05}", f"s{number:05}", f"n{number % nodes:05}") for number in range(services)]


class Loader:
    """Writes records on a bus on which no coordinator needs to run."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._js = client.jetstream(timeout=60, publish_async_max_pending=_IN_FLIGHT)
        self._identity = Identity.generate()
        self._events = EventPublisher(self._js)
        self.catalog = Catalog(client, self._js)

    async def topology(self) -> None:
        await ensure_topology(self._js, replicas=1)

    async def projects(self, services: Sequence[Service]) -> None:
        names = sorted({service.project for service in services})
        await at_once(lambda name: self.catalog.projects.create(name, self._project(name)), names)

    async def services(self, services: Sequence[Service]) -> None:
        """None of them due for nearly a day."""
        await at_once(
            lambda service: self.catalog.services.create(key(service.project, service.name), _record(service)), services
        )

    async def nodes(self, services: Sequence[Service]) -> None:
        """With their queues, and the recipient that they showed with their first heartbeat."""

        async def register(node: str) -> None:
            await ensure_node_consumer(self._js, node, ack_wait_s=ACK_WAIT_S)
            record = NodeRecord(name=node, created_at=utc_now(), recipient=self.recipient)
            await self.catalog.nodes.create(node, record)

        await at_once(register, sorted({service.node for service in services}))

    async def reschedule(self, services: Sequence[Service], dues: Sequence[datetime]) -> None:
        """Every service daily, next at its due time (whole seconds); coordinators that run are told so by an event."""

        async def change(pair: tuple[Service, datetime]) -> None:
            service, due = pair
            stored = await self.catalog.services.get(key(service.project, service.name))
            assert stored is not None
            schedule = Daily(at=due.strftime("%H:%M:%S"))
            record = msgspec.structs.replace(stored.value, schedule=schedule, scheduled_since=utc_now())
            revision = await self.catalog.services.update(stored.key, record, stored.revision)
            name = f"{service.ref}:{revision}"
            await self._events.publish(
                "service.changed", key=name, at=utc_now(), project=service.project, service=service.name
            )

        await at_once(change, list(zip(services, dues, strict=True)))

    async def retired(self, first_record: int, records: int) -> None:
        """Further services that are not due, with as many completed backups each as retention keeps."""
        numbers = range(first_record // RECORDS_PER_SERVICE, -(-(first_record + records) // RECORDS_PER_SERVICE))
        services = [Service(f"q{number // 10:05}", f"s{number:05}", "n00000") for number in numbers]
        await self.projects(services)
        await self.services(services)
        await self.history(services, RECORDS_PER_SERVICE, at_most=records)

    async def history(self, services: Sequence[Service], per_service: int, at_most: int | None = None) -> None:
        """`per_service` completed daily backups of each, the last of them yesterday's, and their projects' usage."""
        last_due = utc_now().replace(microsecond=0) - timedelta(days=1)
        written = islice(
            ((service, last_due - timedelta(days=age)) for service in services for age in range(per_service)), at_most
        )
        stored: Counter[str] = Counter()

        def records() -> Iterator[BackupRecord]:
            for service, due in written:
                record = _backup(service, due, self.recipient)
                stored[service.project] += record.size_bytes
                yield record

        await self.store(BACKUPS_BUCKET, ((key(record.project, record.service, record.id), record) for record in records()))
        await at_once(
            lambda project: self.catalog.usage.put(project, UsageRecord(project=project, stored_bytes=stored[project])),
            list(stored),
        )

    @property
    def recipient(self) -> str:
        return str(self._identity.recipient)

    def _project(self, name: str) -> ProjectRecord:
        # In customer custody: no identity is kept, and backups need none.
        return ProjectRecord(name=name, created_at=utc_now(), key_id="", recipients=[self.recipient])

    async def store(self, bucket: str, records: Iterator[tuple[str, msgspec.Struct]]) -> None:
        """Puts records under their keys, thousands on their way at a time."""
        while batch := list(islice(records, _IN_FLIGHT)):
            acks: list[asyncio.Future[PubAck]] = []
            for name, record in batch:
                acks.append(await self._js.publish_async(f"$KV.{bucket}.{name}", encode(record)))
            await asyncio.gather(*acks)


async def at_once(call: Callable[[T], Awaitable[object]], values: Sequence[T]) -> None:
    """Calls with every value, some hundreds at the same time.  The first failure ends it."""
    waiting = iter(values)

    async def work() -> None:
        for value in waiting:
            await call(value)

    async with asyncio.TaskGroup() as group:
        for number in range(min(_AT_ONCE, len(values))):
            group.create_task(work(), name=f"load:{number}")


def _far() -> Daily:
    """Not due for nearly a day."""
    return Daily(at=(utc_now() - timedelta(minutes=10)).strftime("%H:%M:%S"))


def _record(service: Service) -> ServiceRecord:
    return ServiceRecord(
        project=service.project,
        name=service.name,
        created_at=utc_now(),
        options=PostgreSQLOptions(),
        nodes=[service.node],
        schedule=_far(),
    )


def _backup(service: Service, due: datetime, recipient: str) -> BackupRecord:
    """As large as the record of a small cluster's backup."""
    run_id = due_run_id(service.project, service.name, due)
    return BackupRecord(
        id=run_id,
        project=service.project,
        service=service.name,
        kind="postgresql",
        state=RunState.COMPLETED,
        trigger=Trigger.SCHEDULE,
        requested_at=due,
        due_at=due,
        node=service.node,
        placement="the only node of the service",
        options=PostgreSQLOptions(),
        recipients=[recipient],
        key_id="",
        instance="bench",
        started_at=due,
        finished_at=due + timedelta(seconds=40),
        tags=["daily"],
        artifacts=[
            ArtifactRecord(
                name=name,
                kind=kind,
                format="sql" if kind == "globals" else "pg_dump-custom",
                object_key=artifact_key(service.project, service.name, run_id, 1, index, name, "pgdump.zst.age"),
                stored_bytes=_STORED_BYTES,
                plain_bytes=4 * _STORED_BYTES,
                sha256=_SHA256,
            )
            for index, (name, kind) in enumerate((("globals", "globals"), ("orders", "database")), start=1)
        ],
        size_bytes=2 * _STORED_BYTES + 2_000,
        plain_bytes=8 * _STORED_BYTES,
        manifest_key=manifest_key(service.project, service.name, run_id),
        summary={"databases": 1, "tables": 40},
    )
