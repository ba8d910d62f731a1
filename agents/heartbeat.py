"""The heartbeat: this node lives, what it sees of its engines, and what it is working on."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Mapping

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from agents.runner import RunsInHand
from agents.services import Services
from contracts.age import Recipient
from contracts.errors import ErrorInfo, StrongroomError
from contracts.records import EngineHealth
from contracts.reports import Heartbeat
from contracts.subjects import heartbeat_subject
from contracts.wire import encode, utc_now

log = structlog.get_logger()

_PROBE_S = 15.0


class Heart:
    """Beats every few seconds, whatever the engines do: they are looked at beside it."""

    def __init__(self, client: Client, node: str, recipient: Recipient, services: Services, in_hand: RunsInHand) -> None:
        self._client = client
        self._subject = heartbeat_subject(node)
        self._recipient = str(recipient)
        self._services = services
        self._in_hand = in_hand
        self._health: dict[str, EngineHealth] = {}
        self._looked = asyncio.Event()
        self._changed = asyncio.Event()
        self._started_at = utc_now()
        self._version = importlib.metadata.version("strongroom")

    @property
    def health(self) -> Mapping[str, EngineHealth]:
        """What was seen of each service's engine last."""
        return {name: health for name, health in self._health.items() if name in self._services.names}

    async def beat(self, every_s: float) -> None:
        """Until cancelled."""
        try:
            async with asyncio.timeout(_PROBE_S):
                await self._looked.wait()
        except TimeoutError:
            log.info("health.slow")
        while True:
            if self._services.reload():
                self._changed.set()
            self._in_hand.changed.clear()
            await self.beat_once()
            try:
                async with asyncio.timeout(every_s):
                    await self._in_hand.changed.wait()
            except TimeoutError:
                continue

    async def beat_once(self) -> None:
        """One heartbeat now."""
        heartbeat = Heartbeat(
            sent_at=utc_now(),
            started_at=self._started_at,
            agent_version=self._version,
            recipient=self._recipient,
            services=dict(self.health),
            running=self._in_hand.refs(),
        )
        try:
            await self._client.publish(self._subject, encode(heartbeat))
        except NatsError as exc:
            log.debug("heartbeat.lost", error=str(exc))

    async def look(self, every_s: float) -> None:
        """Until cancelled: asks every engine how it is, all at once."""
        while True:
            self._changed.clear()
            names = self._services.names
            found = await asyncio.gather(*(self._probe(name) for name in names))
            before, self._health = self._health, dict(zip(names, found, strict=True))
            for name, health in self._health.items():
                if name not in before or before[name].reachable != health.reachable:
                    code = health.error.code if health.error else None
                    log.info("engine.seen", service=name, reachable=health.reachable, version=health.version, code=code)
            self._looked.set()
            await self.beat_once()
            try:
                async with asyncio.timeout(every_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _probe(self, name: str) -> EngineHealth:
        try:
            async with asyncio.timeout(_PROBE_S):
                return await self._services.probe(name).health()
        except TimeoutError:
            error = ErrorInfo(code="engine.unreachable", message=f"the engine did not answer within {_PROBE_S:.0f} s")
        except StrongroomError as exc:
            error = exc.info
        except Exception:
            log.exception("health.failed", service=name)
            error = ErrorInfo(code="agent.internal", message="looking at the engine failed; see the agent's log")
        return EngineHealth(reachable=False, error=error)
