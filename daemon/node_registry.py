"""Nodes: registered, listed and removed."""

from __future__ import annotations

from nats.js import JetStreamContext

from contracts.control import NodeView
from contracts.errors import Conflict
from contracts.ids import check_slug
from contracts.records import NodeRecord
from daemon.catalog.buckets import RecordChanged
from daemon.catalog.topology import ensure_node_consumer, remove_node_consumer
from daemon.runs.runs import Runs


class NodeRegistry:
    """The hosts whose agents may be given work.  Every call either does all it says or changes nothing that matters."""

    def __init__(self, runs: Runs, js: JetStreamContext, *, ack_wait_s: float) -> None:
        self._runs = runs
        self._catalog = runs.catalog
        self._js = js
        self._ack_wait_s = ack_wait_s

    async def add(self, node: str) -> NodeRecord:
        """Registers a node and its queue.  Raises: InvalidInput, Conflict `node.exists`."""
        check_slug(node, "node")
        now = self._runs.now()
        record = NodeRecord(name=node, created_at=now)
        # The queue comes first: a node that is registered can be given work.
        await ensure_node_consumer(self._js, node, ack_wait_s=self._ack_wait_s)
        try:
            await self._catalog.nodes.create(node, record)
        except RecordChanged:
            raise Conflict("node.exists", f"node {node!r} exists already", field="node") from None
        await self._runs.events.publish("node.added", key=f"{node}:{now.isoformat()}", at=now, node=node)
        return record

    async def all(self) -> list[NodeView]:
        alive = {stored.key: stored.value for stored in await self._catalog.alive.select()}
        return [NodeView(record=s.value, alive=alive.get(s.key)) for s in await self._catalog.nodes.select()]

    async def remove(self, node: str) -> None:
        """Raises: NotFound, Conflict `node.in_use`."""
        stored = await self._catalog.need_node(node)
        services = [stored.value for stored in await self._catalog.services.select() if stored.value.deletion is None]
        users = [f"{service.project}/{service.name}" for service in services if node in service.nodes]
        if users:
            raise Conflict("node.in_use", f"node {node!r} still serves {', '.join(users)}", field="node")
        await self._catalog.nodes.delete(node, stored.revision)
        await remove_node_consumer(self._js, node)
        now = self._runs.now()
        await self._runs.events.publish("node.removed", key=f"{node}:{now.isoformat()}", at=now, node=node)
