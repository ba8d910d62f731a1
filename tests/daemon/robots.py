"""An agent without a database: it does every backup it is asked for, in an artifact of a few bytes, or what it is told."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import aiohttp
import msgspec
from nats.aio.client import Client

from contracts.age import Identity
from contracts.asks import ClaimRun, Grant, PartReceipt
from contracts.errors import ErrorInfo, StrongroomError
from contracts.records import ArtifactRecord, EngineHealth, RunKind, RunRef
from contracts.reports import RunFailedReport
from contracts.requests import BackupRequest, request_decoder
from contracts.subjects import REQUESTS_STREAM
from contracts.tasks import cancel_surely, cancellable
from contracts.wire import utc_now
from tests.daemon.speaking import SpeakingAgent
from tests.servers.nats import NatsServer

HEALTHY = EngineHealth(reachable=True, version="15.18")
_BEAT_S = 1.0


class RobotAgent(SpeakingAgent):
    """Real subjects, real claims, real PUTs; `working` runs it."""

    def __init__(self, client: Client, node: str, services: Iterable[str]) -> None:
        super().__init__(client, node)
        self.health = dict.fromkeys(services, HEALTHY)
        """What its heartbeats say of each `project/service`."""
        self.data: Callable[[BackupRequest], bytes] = lambda request: f"dump of {request.run_id}".encode()
        """What it stores."""
        self.failure: Callable[[BackupRequest], ErrorInfo | None] = lambda _: None
        """With what a backup fails, if it does."""
        self.fails_late = False
        """Whether it fails only when everything is uploaded."""
        self.may_finish = asyncio.Event()
        """Cleared, it holds every backup just before its report."""
        self.may_finish.set()
        self.taken: list[BackupRequest] = []
        """Every request that it claimed."""
        self._running: dict[str, RunRef] = {}
        self._http: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Beats and works until the block is left."""
        async with aiohttp.ClientSession() as self._http:
            tasks = [
                asyncio.create_task(cancellable(work), name=f"robot:{self.node}") for work in (self._beat(), self._pull())
            ]
            try:
                yield
            finally:
                await cancel_surely(*tasks)
                for task in tasks:
                    if not task.cancelled():
                        task.result()

    async def put(self, grant: Grant, data: bytes, number: int = 1) -> PartReceipt:
        assert self._http is not None
        url = next(part.url for part in grant.parts if part.number == number)
        async with self._http.put(url, data=io.BytesIO(data)) as response:
            response.raise_for_status()
            return PartReceipt(number, len(data), response.headers["ETag"].strip('"'))

    async def _beat(self) -> None:
        while True:
            await self.beat(list(self._running.values()), self.health)
            await asyncio.sleep(_BEAT_S)

    async def _pull(self) -> None:
        subscription = await self.js.pull_subscribe_bind(consumer=self.node, stream=REQUESTS_STREAM)
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    (message,) = await subscription.fetch(1, timeout=5)
                except TimeoutError:
                    continue
                await message.ack()
                request = request_decoder.decode(message.data)
                assert isinstance(request, BackupRequest)
                group.create_task(self._work(request))

    async def _work(self, request: BackupRequest) -> None:
        run = _Run(id=request.run_id, project=request.project, service=request.service)
        try:
            job = await self.ask(run, ClaimRun(run_id=run.id, instance=self.instance))
        except StrongroomError:
            return  # asked for twice, or ended meanwhile
        run = msgspec.structs.replace(run, recipients=job.recipients)  # type: ignore[union-attr]
        attempt: int = job.attempt  # type: ignore[union-attr]
        self.taken.append(request)
        self._running[run.id] = RunRef(run_id=run.id, attempt=attempt)
        try:
            await self._back_up(request, run, attempt)
        finally:
            del self._running[run.id]

    async def _back_up(self, request: BackupRequest, run: _Run, attempt: int) -> None:
        failure = self.failure(request)
        artifact: ArtifactRecord | None = None
        if failure is None or self.fails_late:
            try:
                artifact = await self.upload(run, self.data(request), attempt=attempt)  # type: ignore[arg-type]
            except StrongroomError as exc:
                failure = exc.info
        await self.may_finish.wait()
        if failure is None:
            assert artifact is not None
            await self.report(self.finished(run, artifact, attempt=attempt))  # type: ignore[arg-type]
            return
        await self.report(
            RunFailedReport(
                run=RunKind.BACKUP,
                project=run.project,
                service=run.service,
                run_id=run.id,
                attempt=attempt,
                failed_at=utc_now(),
                error=failure,
            )
        )


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    """As much of a run as an agent knows."""

    id: str
    project: str
    service: str
    recipients: list[str] = []


@asynccontextmanager
async def robot(nats_server: NatsServer, node: str, *services: str) -> AsyncIterator[RobotAgent]:
    """A robot at work on the node; its node has to be registered for it to be believed."""
    async with nats_server.connect_node(node) as client:
        agent = RobotAgent(client, node, services)
        # As a real agent has it on its disk: one that comes back with another key is not believed.
        kept = nats_server.node_seeds[node].with_suffix(".age")
        if kept.exists():
            agent.identity = Identity.parse(kept.read_text())
        else:
            kept.write_text(agent.identity.reveal())
        async with agent.working():
            yield agent
