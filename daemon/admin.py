"""Projects, services and nodes: created, changed and removed."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from nats.js import JetStreamContext

from contracts.control import NodeView, ServiceView
from contracts.errors import Conflict, InvalidInput, NotFound
from contracts.ids import check_slug
from contracts.records import NodeRecord, ProjectRecord, RunState, ServiceRecord
from contracts.services import ServiceOptions, kind_of
from contracts.wire import utc_now
from daemon.catalog.buckets import RecordChanged, key
from daemon.catalog.catalog import Catalog, backup_marker
from daemon.catalog.topology import ensure_node_consumer, remove_node_consumer
from daemon.keys.custody import Custody, parse_recipient
from daemon.runs.events import EventPublisher


class Admin:
    """What an operator sets up.  Every call either does all it says or changes nothing that matters."""

    def __init__(
        self, catalog: Catalog, custody: Custody, events: EventPublisher, js: JetStreamContext, *, ack_wait_s: float
    ) -> None:
        self._catalog = catalog
        self._custody = custody
        self._events = events
        self._js = js
        self._ack_wait_s = ack_wait_s

    async def create_project(self, name: str, recovery_recipients: Sequence[str]) -> ProjectRecord:
        """A project with a fresh managed key.  Raises: InvalidInput, Conflict `project.exists`."""
        check_slug(name, "name")
        extra = [str(parse_recipient(text, "recovery_recipients")) for text in recovery_recipients]
        if await self._catalog.projects.get(name) is not None:
            raise Conflict("project.exists", f"project {name!r} exists already", field="name")
        project_key = await self._custody.create_key(name)
        now = utc_now()
        record = ProjectRecord(
            name=name,
            created_at=now,
            key_id=project_key.key_id,
            recipients=list(dict.fromkeys([project_key.recipient, *extra])),
        )
        try:
            await self._catalog.projects.create(name, record)
        except RecordChanged:
            raise Conflict("project.exists", f"project {name!r} exists already", field="name") from None
        await self._events.publish("project.created", key=f"{name}:{now.isoformat()}", at=now, project=name)
        return record

    async def projects(self) -> list[ProjectRecord]:
        return [stored.value for stored in await self._catalog.projects.select()]

    async def delete_project(self, project: str) -> None:
        """Raises: NotFound, Conflict `project.not_empty`."""
        stored = await self._catalog.need_project(project)
        if services := await self._catalog.services.select(project):
            names = ", ".join(service.value.name for service in services)
            raise Conflict("project.not_empty", f"project {project!r} still has services: {names}", field="project")
        await self._catalog.projects.delete(project, stored.revision)
        now = utc_now()
        await self._events.publish("project.deleted", key=f"{project}:{now.isoformat()}", at=now, project=project)

    async def add_service(self, project: str, name: str, options: ServiceOptions, nodes: Sequence[str]) -> ServiceRecord:
        """Raises: InvalidInput, NotFound for the project or a node, Conflict `service.exists`."""
        check_slug(name, "name")
        await self._catalog.need_project(project)
        await self._check_nodes(nodes)
        now = utc_now()
        record = ServiceRecord(project=project, name=name, created_at=now, options=options, nodes=list(dict.fromkeys(nodes)))
        try:
            await self._catalog.services.create(key(project, name), record)
        except RecordChanged:
            raise Conflict("service.exists", f"{project!r} has a service {name!r} already", field="name") from None
        await self._events.publish(
            "service.added",
            key=f"{project}/{name}:{now.isoformat()}",
            at=now,
            project=project,
            service=name,
            facts={"kind": kind_of(options), "nodes": record.nodes},
        )
        return record

    async def change_service(
        self, project: str, service: str, options: ServiceOptions | None, nodes: Sequence[str] | None
    ) -> ServiceRecord:
        """Raises: InvalidInput, NotFound, Conflict `record.changed`."""
        stored = await self._catalog.need_service(project, service)
        record = stored.value
        if options is not None:
            if kind_of(options) != kind_of(record.options):
                raise InvalidInput(
                    "input.invalid", "a service's kind cannot be changed: add another service", field="options"
                )
            record = msgspec.structs.replace(record, options=options)
        if nodes is not None:
            await self._check_nodes(nodes)
            record = msgspec.structs.replace(record, nodes=list(dict.fromkeys(nodes)))
        revision = await self._catalog.services.update(stored.key, record, stored.revision)
        await self._events.publish(
            "service.changed", key=f"{project}/{service}:{revision}", at=utc_now(), project=project, service=service
        )
        return record

    async def services(self, project: str) -> list[ServiceView]:
        """Those of a project, or all."""
        if project:
            await self._catalog.need_project(project)
        return [await self._view(stored.value) for stored in await self._catalog.services.select(project)]

    async def service(self, project: str, service: str) -> ServiceView:
        return await self._view((await self._catalog.need_service(project, service)).value)

    async def delete_service(self, project: str, service: str) -> None:
        """Raises: NotFound, Conflict `service.not_empty`."""
        stored = await self._catalog.need_service(project, service)
        backups = [b.value for b in await self._catalog.backups.select(key(project, service))]
        held = [b for b in backups if b.state is RunState.COMPLETED or b.state.is_active or b.state is RunState.DELETING]
        if held:
            message = f"{project}/{service} still has {len(held)} backup(s): delete them first"
            raise Conflict("service.not_empty", message, field="service")
        await self._catalog.services.delete(stored.key, stored.revision)
        now = utc_now()
        await self._events.publish(
            "service.deleted", key=f"{project}/{service}:{now.isoformat()}", at=now, project=project, service=service
        )

    async def add_node(self, node: str) -> NodeRecord:
        """Registers a node and its queue.  Raises: InvalidInput, Conflict `node.exists`."""
        check_slug(node, "node")
        now = utc_now()
        record = NodeRecord(name=node, created_at=now)
        # The queue comes first: a node that is registered can be given work.
        await ensure_node_consumer(self._js, node, ack_wait_s=self._ack_wait_s)
        try:
            await self._catalog.nodes.create(node, record)
        except RecordChanged:
            raise Conflict("node.exists", f"node {node!r} exists already", field="node") from None
        await self._events.publish("node.added", key=f"{node}:{now.isoformat()}", at=now, node=node)
        return record

    async def nodes(self) -> list[NodeView]:
        alive = {stored.key: stored.value for stored in await self._catalog.alive.select()}
        return [NodeView(record=s.value, alive=alive.get(s.key)) for s in await self._catalog.nodes.select()]

    async def remove_node(self, node: str) -> None:
        """Raises: NotFound, Conflict `node.in_use`."""
        stored = await self._catalog.need_node(node)
        users = [f"{s.value.project}/{s.value.name}" for s in await self._catalog.services.select() if node in s.value.nodes]
        if users:
            raise Conflict("node.in_use", f"node {node!r} still serves {', '.join(users)}", field="node")
        await self._catalog.nodes.delete(node, stored.revision)
        await remove_node_consumer(self._js, node)
        now = utc_now()
        await self._events.publish("node.removed", key=f"{node}:{now.isoformat()}", at=now, node=node)

    async def _check_nodes(self, nodes: Sequence[str]) -> None:
        if not nodes:
            raise InvalidInput("input.invalid", "a service needs at least one node", field="nodes")
        for node in nodes:
            try:
                await self._catalog.need_node(node)
            except NotFound as exc:
                raise NotFound(exc.code, exc.message, field="nodes") from exc

    async def _view(self, record: ServiceRecord) -> ServiceView:
        backups = await self._catalog.backups.select(key(record.project, record.name))
        completed = [b.value for b in backups if b.value.state is RunState.COMPLETED]
        active = await self._catalog.active.get(backup_marker(record.project, record.name))
        return ServiceView(
            record=record,
            kind=kind_of(record.options),
            last_completed=max(completed, key=lambda b: b.requested_at, default=None),
            active=active.value.run_id if active else "",
        )
