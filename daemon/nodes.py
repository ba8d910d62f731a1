"""Heartbeats: which nodes live, and what they see.  The TTL of the key, not a clock of ours, lets a silent node go."""

from __future__ import annotations

import msgspec
import structlog
from nats.aio.msg import Msg

from contracts.age import Recipient
from contracts.age.errors import AgeError
from contracts.errors import InvalidInput, StrongroomError
from contracts.records import Alive
from contracts.reports import Heartbeat, heartbeat_decoder
from contracts.subjects import node_of
from contracts.wire import utc_now
from daemon.catalog.buckets import RecordChanged
from daemon.catalog.catalog import Catalog
from daemon.runs.events import EventPublisher

log = structlog.get_logger()

ALIVE_TTL_S = 15
"""Three heartbeats may be lost."""


class Nodes:
    """The handler of `strongroom.agent.<node>.heartbeat`."""

    def __init__(self, catalog: Catalog, events: EventPublisher) -> None:
        self._catalog = catalog
        self._events = events

    async def handle(self, message: Msg) -> None:
        node = node_of(message.subject)
        try:
            heartbeat = heartbeat_decoder.decode(message.data)
            await self.beat(node, heartbeat)
        except StrongroomError as exc:
            log.warning("heartbeat.refused", node=node, code=exc.code, reason=exc.message)

    async def beat(self, node: str, heartbeat: Heartbeat) -> None:
        """Notes that the node lives.  Raises: NotFound `node.not_found`, Conflict `node.identity_changed`."""
        await self._recognise(node, heartbeat)
        now = utc_now()
        alive = Alive(
            node=node,
            seen_at=now,
            agent_version=heartbeat.agent_version,
            started_at=heartbeat.started_at,
            services=heartbeat.services,
            running=heartbeat.running,
        )
        if await self._catalog.alive.get(node) is None:
            await self._events.publish("node.alive", key=f"{node}:{now.isoformat()}", at=now, node=node)
        await self._catalog.alive.put(node, alive, ttl_s=ALIVE_TTL_S)

    async def _recognise(self, node: str, heartbeat: Heartbeat) -> None:
        """Fixes the node's recipient at its first heartbeat: file keys are sealed to it, so it must not change later."""
        try:
            Recipient.parse(heartbeat.recipient)
        except AgeError as exc:
            raise InvalidInput("key.invalid", f"node {node} presents an invalid recipient", field="recipient") from exc
        stored = await self._catalog.need_node(node)
        if not stored.value.recipient:
            try:
                record = msgspec.structs.replace(stored.value, recipient=heartbeat.recipient)
                await self._catalog.nodes.update(node, record, stored.revision)
            except RecordChanged:
                stored = await self._catalog.need_node(node)
        if stored.value.recipient not in ("", heartbeat.recipient):
            raise InvalidInput(
                "node.identity_changed",
                f"node {node} presents another key than the one it registered with: restore its identity file, or remove "
                "the node and add it again",
                field="recipient",
            )
