"""Simulated agents: each pulls from its own node's queue, beats, and works as `scripts.benches.fleet_run` says.

A node's agent is a few coroutines; a handful of connections carries them all (see `scripts.benches.fleet_bus` for why they
may).  What they do on the bus is what agents do, but for one thing: an idle agent here renews its pull every minute instead
of every five seconds, which spares the nats-server work that has nothing to do with the coordinator.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import aiohttp
import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from agents.datapath import open_http
from contracts.errors import StrongroomError
from contracts.records import EngineHealth, RunRef
from contracts.reports import Heartbeat
from contracts.requests import BackupRequest, request_decoder
from contracts.subjects import REQUESTS_STREAM, heartbeat_subject
from contracts.tasks import cancel_surely
from contracts.wire import encode, utc_now
from scripts.benches.fleet_bus import FLEET_INBOX, FleetBus
from scripts.benches.fleet_records import Service
from scripts.benches.fleet_run import NotTaken, RunTools, SimulatedRun
from scripts.benches.fleet_times import Times, stored_at

_CONNECTIONS: Final = 4
BEATS_OF_A_RUN: Final = 2
"""Beside the regular ones: an agent beats when it takes a run up, and when it lets go of it."""
_PARALLEL_RUNS: Final = 2
"""As agents by default."""
_PULL_S: Final = 60
_NAK_S: Final = 2.0
_PULL: Final = msgspec.json.encode({"batch": 1, "expires": _PULL_S * 10**9})


class _Mailbox:
    """The pulls of many nodes on one connection."""

    def __init__(self, client: Client, name: str) -> None:
        self.client = client
        self._prefix = f"{FLEET_INBOX}.{name}.pull"
        self._waiting: dict[str, deque[asyncio.Future[Msg]]] = {}

    async def open(self) -> None:
        await self.client.subscribe(f"{self._prefix}.*", cb=self._receive)

    async def pull(self, node: str) -> Msg | None:
        """The node's next request, or None when there was none for a while."""
        waiting = self._waiting.setdefault(node, deque())
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        waiting.append(future)
        await self.client.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{REQUESTS_STREAM}.{node}", _PULL, reply=f"{self._prefix}.{node}"
        )
        await asyncio.wait([future], timeout=_PULL_S + 5)
        if future.done() and not future.cancelled():
            return future.result()
        waiting.remove(future)
        return None

    async def _receive(self, message: Msg) -> None:
        if not message.reply.startswith("$JS.ACK."):
            return  # only a status: nothing there, or the pull has expired
        waiting = self._waiting.get(message.reply.split(".")[3])
        if waiting:
            waiting.popleft().set_result(message)
        else:
            await message.nak()


class SimulatedAgent:
    """One node's agent."""

    def __init__(self, node: str, services: Sequence[Service], mailbox: _Mailbox, tools: RunTools, recipient: str) -> None:
        self.node = node
        self._mailbox = mailbox
        self._tools = tools
        self._times = tools.times
        self._recipient = recipient
        self._started_at = utc_now()
        self._health = {
            service.ref: EngineHealth(reachable=True, version="15.18", role="primary", lag_s=0.0) for service in services
        }
        self._running: dict[str, RunRef] = {}

    @property
    def pullers(self) -> int:
        return min(_PARALLEL_RUNS, len(self._health))

    async def beat(self) -> None:
        heartbeat = Heartbeat(
            sent_at=utc_now(),
            started_at=self._started_at,
            agent_version="bench",
            recipient=self._recipient,
            services=self._health,
            running=list(self._running.values()),
        )
        await self._tools.client.publish(heartbeat_subject(self.node), encode(heartbeat))

    async def pull_and_work(self) -> None:
        """Until cancelled; one run at a time."""
        while True:
            message = await self._mailbox.pull(self.node)
            if message is not None:
                await self._handle(message)

    async def _handle(self, message: Msg) -> None:
        request = request_decoder.decode(message.data)
        assert isinstance(request, BackupRequest)
        name = f"{request.project}/{request.service}/{request.run_id}"
        self._times.requested.setdefault(name, stored_at(message))
        self._running[name] = RunRef(run_id=request.run_id, attempt=request.attempt)
        await self.beat()
        try:
            await SimulatedRun(self._tools, self.node, message, request).work()
            await message.ack_sync(timeout=10)
        except NotTaken as exc:
            await (message.ack() if exc.outdated else message.nak(delay=_NAK_S))
        except StrongroomError as exc:
            self._times.troubles[f"run given up: {exc.code}"] += 1
        except (NatsError, aiohttp.ClientError, TimeoutError) as exc:
            # Its request comes back after the ack wait.
            self._times.troubles[f"run interrupted: {type(exc).__name__}"] += 1
        finally:
            self._running.pop(name, None)
        await self.beat()


class Fleet:
    """All agents of a bench."""

    def __init__(self, agents: Sequence[SimulatedAgent]) -> None:
        self._agents = agents

    async def beat_regularly(self, every_s: float) -> None:
        """Until cancelled: every agent once in `every_s`, evenly spread, as if started at different times."""
        loop = asyncio.get_running_loop()
        began, sent = loop.time(), 0
        while True:
            due = int((loop.time() - began) / every_s * len(self._agents))
            while sent < due:
                await self._agents[sent % len(self._agents)].beat()
                sent += 1
            await asyncio.sleep(min(0.05, every_s / len(self._agents)))

    async def beat_at_once(self, beats: int) -> None:
        """So many heartbeats as fast as they go, beside the regular ones."""
        for number in range(beats):
            await self._agents[number % len(self._agents)].beat()


@asynccontextmanager
async def running_fleet(
    bus: FleetBus, services: Sequence[Service], times: Times, *, recipient: str, beat_every_s: float, artifacts: int
) -> AsyncIterator[Fleet]:
    """The agents of all nodes, alive and waiting for requests."""
    by_node: dict[str, list[Service]] = {}
    for service in services:
        by_node.setdefault(service.node, []).append(service)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(open_http())
        mailboxes, toolboxes = [], []
        for number in range(min(_CONNECTIONS, len(by_node))):
            client = await stack.enter_async_context(bus.connect_fleet(str(number)))
            mailboxes.append(_Mailbox(client, str(number)))
            await mailboxes[-1].open()
            toolboxes.append(RunTools(client, http, times, artifacts))
        agents = [
            SimulatedAgent(node, served, mailboxes[at % len(mailboxes)], toolboxes[at % len(mailboxes)], recipient)
            for at, (node, served) in enumerate(by_node.items())
        ]
        fleet = Fleet(agents)
        tasks = [asyncio.create_task(fleet.beat_regularly(beat_every_s), name="heartbeats")]
        tasks += [
            asyncio.create_task(agent.pull_and_work(), name=f"agent:{agent.node}")
            for agent in agents
            for _ in range(agent.pullers)
        ]
        for task in tasks:
            task.add_done_callback(lambda ended: _note_end(ended, times.troubles))
        try:
            yield fleet
        finally:
            await cancel_surely(*tasks)


def _note_end(task: asyncio.Task[None], troubles: Counter[str]) -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        troubles[f"{task.get_name().partition(':')[0]} ended: {failure!r}"] += 1
