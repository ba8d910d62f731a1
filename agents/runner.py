"""Takes requests from the node's queue and works on them, each under the coordinator's eye.

The request stays unacknowledged while the work goes on, so that a dead agent's request comes back; it is acknowledged
after the report is stored.  Every few seconds the coordinator is asked whether the attempt is still the current one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import aiohttp
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError
from structlog.contextvars import bound_contextvars

from agents.backup import make_backup
from agents.coordinator import Coordinator, RunConversation
from agents.datapath.staging import Staging
from agents.figures import Figures
from agents.progress import RunProgress, tell_progress
from agents.restore import make_restore
from agents.services import Services
from agents.settings import AgentSettings
from contracts.age import Identity
from contracts.asks import BackupJob, RestoreJob
from contracts.errors import ErrorInfo, StrongroomError
from contracts.records import RunKind, RunRef
from contracts.reports import Report, RunFailedReport
from contracts.requests import BackupRequest, Request, request_decoder
from contracts.subjects import REQUESTS_STREAM
from contracts.tasks import cancel_surely, cancellable
from contracts.tracing import SpanKind, continued, mark_failed, span
from contracts.wire import utc_now

log = structlog.get_logger()

_PULL_S: Final = 5.0
_AGAIN_AFTER_S: Final = 2.0
_ACK_S: Final = 10.0
_NOTHING_TO_DO: Final = frozenset({"run.not_current"})


class _Superseded(Exception):
    """The attempt has no business any more: drop the work, say nothing."""


@dataclass
class _Run:
    """A run in hand."""

    message: Msg
    """The newest delivery of its request: that one is kept alive and acknowledged."""
    ref: RunRef


class RunsInHand:
    """What this agent is working on; `changed` is set whenever that is something else."""

    def __init__(self) -> None:
        self._runs: dict[tuple[RunKind, str], _Run] = {}
        self.changed = asyncio.Event()

    def refs(self) -> list[RunRef]:
        return [run.ref for run in self._runs.values()]

    def find(self, key: tuple[RunKind, str]) -> _Run | None:
        return self._runs.get(key)

    @contextmanager
    def hold(self, key: tuple[RunKind, str], run: _Run) -> Iterator[None]:
        self._runs[key] = run
        self.changed.set()
        try:
            yield
        finally:
            del self._runs[key]
            self.changed.set()


class Runner:
    """The agent's work loop."""

    def __init__(
        self,
        client: Client,
        js: JetStreamContext,
        settings: AgentSettings,
        services: Services,
        identity: Identity,
        http: aiohttp.ClientSession,
        in_hand: RunsInHand,
        figures: Figures,
    ) -> None:
        self._client = client
        self._js = js
        self._settings = settings
        self._services = services
        self._identity = identity
        self._http = http
        self._in_hand = in_hand
        self._figures = figures
        self._coordinator = Coordinator(client, js, settings.node)
        self.staging = Staging(settings.upload)
        self._instance = secrets.token_hex(8)
        self._dropped: dict[tuple[RunKind, str], int] = {}
        """How often a run was let go of with an error that nobody foresaw."""

    async def run(self) -> None:
        """Until cancelled; runs under way are then given back to the queue."""
        subscription = await self._js.pull_subscribe_bind(consumer=self._settings.node, stream=REQUESTS_STREAM)
        slots = asyncio.Semaphore(self._settings.parallel_runs)
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await slots.acquire()
                    message = await self._next(subscription)
                    if message is None:
                        slots.release()
                        continue
                    task = group.create_task(cancellable(self._handle(message)), name="run")
                    task.add_done_callback(lambda _: slots.release())
        finally:
            await subscription.unsubscribe()

    async def _next(self, subscription: JetStreamContext.PullSubscription) -> Msg | None:
        try:
            (message,) = await subscription.fetch(1, timeout=_PULL_S)
        except TimeoutError:
            return None
        except (NatsError, APIError) as exc:
            log.warning("requests.pull_failed", error=str(exc) or type(exc).__name__)
            await asyncio.sleep(_AGAIN_AFTER_S)
            return None
        return message

    async def _handle(self, message: Msg) -> None:
        try:
            request = request_decoder.decode(message.data)
        except StrongroomError as exc:
            log.error("request.malformed", reason=exc.message)
            await message.term()
            return
        kind = RunKind.BACKUP if isinstance(request, BackupRequest) else RunKind.RESTORE
        key = (kind, f"{request.project}/{request.service}/{request.run_id}")
        known = self._in_hand.find(key)
        if known is not None:
            # Delivered again although the work goes on: a beat was lost.  From now on this delivery is the one that counts.
            known.message = message
            return
        with bound_contextvars(
            run=kind, project=request.project, service=request.service, run_id=request.run_id, attempt=request.attempt
        ):
            try:
                with (
                    continued(message.headers),
                    span(
                        f"{kind}.run",
                        kind=SpanKind.CONSUMER,
                        project=request.project,
                        service=request.service,
                        run_id=request.run_id,
                    ),
                ):
                    await self._work(key, request, message)
            except (NatsError, TimeoutError) as exc:
                log.warning("request.interrupted", error=str(exc) or type(exc).__name__)
            except Exception:
                # The request stays unacknowledged: it comes back, and after a few attempts the coordinator gives the run up.
                log.exception("request.failed")
            else:
                self._dropped.pop(key, None)
                return
            # What this attempt has done is given up: the next claim must not be answered with it again.
            self._dropped[key] = self._dropped.get(key, 0) + 1

    async def _work(self, key: tuple[RunKind, str], request: Request, message: Msg) -> None:
        conversation = RunConversation(self._coordinator, key[0], request.project, request.service, request.run_id)
        run = _Run(message, RunRef(run_id=request.run_id, attempt=request.attempt))
        # In hand before it is claimed: a second delivery in this moment must find it.
        with self._in_hand.hold(key, run):
            try:
                job = await conversation.claim(f"{self._instance}-{self._dropped.get(key, 0)}")
            except StrongroomError as exc:
                if exc.code in _NOTHING_TO_DO:
                    log.info("request.outdated", reason=exc.message)
                    await run.message.ack()
                else:
                    log.warning("request.postponed", code=exc.code, reason=exc.message)
                    await run.message.nak(delay=_AGAIN_AFTER_S)
                return
            run.ref = RunRef(run_id=job.run_id, attempt=job.attempt)
            await self._claimed(run, job, conversation)

    async def _claimed(self, run: _Run, job: BackupJob | RestoreJob, conversation: RunConversation) -> None:
        with bound_contextvars(attempt=job.attempt):
            try:
                await self._attempt(run, job, conversation)
            except asyncio.CancelledError:
                # Told to stop: whoever comes next gets the request at once instead of after the ack wait.
                await asyncio.shield(run.message.nak())
                raise
            try:
                await run.message.ack_sync(timeout=_ACK_S)
            except (NatsError, TimeoutError) as exc:
                # It will be delivered again, and the coordinator will say that there is nothing left to do.
                log.info("request.unacknowledged", error=str(exc) or type(exc).__name__)

    async def _attempt(self, run: _Run, job: BackupJob | RestoreJob, conversation: RunConversation) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(cancellable(self._keep(run, conversation)), name="run:keep")
                report = await self._report_of(job, conversation)
                # The keeper goes on: until the report is stored, the request must not come back.
                await self._coordinator.report(report)
                keeper.cancel()
        except* _Superseded:
            log.warning("run.dropped", reason="the coordinator has ended it or given it to another attempt")

    async def _report_of(self, job: BackupJob | RestoreJob, conversation: RunConversation) -> Report:
        """What became of the work: an error becomes a report, never silence."""
        try:
            return await self._do(job, conversation)
        except StrongroomError as exc:
            if exc.code in _NOTHING_TO_DO:
                raise _Superseded from exc
            mark_failed(exc.code, exc.message)
            log.error("run.failed", code=exc.code, reason=exc.message)
            error = exc.info
        except Exception as exc:
            mark_failed("agent.internal", "")
            log.exception("run.failed", code="agent.internal")
            error = ErrorInfo(
                code="agent.internal", message=f"the agent met an unknown error ({type(exc).__name__}); see its log"
            )
        return RunFailedReport(
            run=conversation.run,
            project=conversation.project,
            service=conversation.service,
            run_id=job.run_id,
            attempt=job.attempt,
            failed_at=utc_now(),
            error=error,
        )

    async def _do(self, job: BackupJob | RestoreJob, conversation: RunConversation) -> Report:
        progress = RunProgress()
        # A restore is told of where it goes: that is the service of this host.
        of = job if isinstance(job, BackupJob) else job.target
        with self._figures.run(conversation.run, f"{of.project}/{of.service}", progress):
            return await self._work_on(job, conversation, progress)

    async def _work_on(self, job: BackupJob | RestoreJob, conversation: RunConversation, progress: RunProgress) -> Report:
        teller = asyncio.create_task(
            tell_progress(
                self._client,
                self._settings.node,
                progress,
                run=conversation.run,
                project=conversation.project,
                service=conversation.service,
                run_id=job.run_id,
                attempt=job.attempt,
            ),
            name="run:progress",
        )
        try:
            if isinstance(job, BackupJob):
                return await make_backup(
                    job,
                    self._services.driver(job.project, job.service, job.options),
                    conversation,
                    http=self._http,
                    staging=self.staging,
                    limits=self._settings.upload,
                    progress=progress,
                )
            return await make_restore(
                job,
                self._services.driver(job.target.project, job.target.service, job.options),
                conversation,
                self._identity,
                http=self._http,
                limits=self._settings.download,
                progress=progress,
            )
        finally:
            await cancel_surely(teller)

    async def _keep(self, run: _Run, conversation: RunConversation) -> None:
        """Keeps the request ours; ends the attempt when the coordinator says so, not when it is merely away."""
        while True:
            await asyncio.sleep(self._settings.check_every_s)
            try:
                await run.message.in_progress()
                await conversation.check(run.ref.attempt)
            except StrongroomError as exc:
                if exc.code in _NOTHING_TO_DO:
                    raise _Superseded from exc
                log.debug("run.unchecked", code=exc.code)
            except NatsError as exc:
                log.debug("run.unchecked", error=str(exc))
