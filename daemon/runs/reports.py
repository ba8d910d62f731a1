"""Takes agents' reports from their work queue, one after another, and acknowledges each after its effect is durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError

from contracts.errors import Corrupt, RunFailed, StrongroomError, Unavailable
from contracts.records import RunKind, RunState
from contracts.reports import BackupFinished, Report, RestoreFinished, report_decoder
from contracts.subjects import REPORTS_CONSUMER, REPORTS_STREAM, node_of
from contracts.tasks import cancel_surely, cancellable
from contracts.tracing import SpanKind, continued, span
from contracts.wire import utc_now
from daemon.catalog.topology import ACK_WAIT_S
from daemon.runs.backups import Backups
from daemon.runs.moving import Mover
from daemon.runs.restores import Restores
from daemon.runs.runs import Runs
from daemon.runs.transitions import check_current

log = structlog.get_logger()

_PULL_S = 5.0
_AGAIN_AFTER_S = 2.0
_REFUSALS_APART = timedelta(seconds=10)
_WORKERS = 32
"""Reports handled at once: each waits for the store and the bus most of its time."""


class Reports:
    """The consumer of `strongroom.agent.*.report`; coordinators share it."""

    def __init__(self, js: JetStreamContext, runs: Runs, backups: Backups, restores: Restores, mover: Mover) -> None:
        self._js = js
        self._runs = runs
        self._backups = backups
        self._restores = restores
        self._mover = mover
        self._refused_at: dict[str, datetime] = {}

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(_WORKERS):
                group.create_task(cancellable(self._work()), name=f"reports:{number}")

    async def _work(self) -> None:
        subscription = await self._js.pull_subscribe_bind(consumer=REPORTS_CONSUMER, stream=REPORTS_STREAM)
        try:
            while True:
                try:
                    for message in await subscription.fetch(1, timeout=_PULL_S):
                        await self._take(message)
                except TimeoutError:
                    continue
                except (NatsError, APIError) as exc:
                    log.warning("reports.pull_failed", error=str(exc) or type(exc).__name__)
                    await asyncio.sleep(_AGAIN_AFTER_S)
        finally:
            await subscription.unsubscribe()

    async def _take(self, message: Msg) -> None:
        node = node_of(message.subject)
        async with _kept_alive(message):
            try:
                report = report_decoder.decode(message.data)
            except StrongroomError as exc:
                await self._refuse(node, exc)
                await message.ack()
                return
            try:
                with continued(message.headers), span("report.handle", kind=SpanKind.CONSUMER, node=node):
                    await self.apply(node, report)
            except (Unavailable, RunFailed) as exc:
                # The store or the bus is away, or refuses us for now: the backup is whole, so its report waits.
                log.warning("report.postponed", node=node, code=exc.code, reason=exc.message)
                await message.nak(delay=_AGAIN_AFTER_S)
                return
            except Corrupt as exc:
                log.exception("report.unusable", node=node)
                await self._fail(report, exc)
            except StrongroomError as exc:
                # A report that does not count is a fact about its sender, not a reason to keep it.
                await self._refuse(node, exc)
            except Exception:
                log.exception("report.failed", node=node)
                await message.nak(delay=_AGAIN_AFTER_S)
                return
        await message.ack()

    async def apply(self, node: str, report: Report) -> None:
        """The effects of one report from this node.  Raises: Conflict `run.not_current` when it does not count."""
        if isinstance(report, BackupFinished):
            await self._backups.finish(node, report)
        elif isinstance(report, RestoreFinished):
            await self._restores.finish(node, report)
        else:
            stored = await self._runs.need(report.run, report.project, report.service, report.run_id)
            record = stored.value
            if record.state is RunState.FAILED and (record.node, record.attempt) == (node, report.attempt):
                await self._runs.settle(record)
                return
            check_current(record, node=node, attempt=report.attempt)
            await self._mover.fail(RunKind(report.run), stored, RunState.FAILED, report.error)

    async def _fail(self, report: Report, exc: StrongroomError) -> None:
        """What was stored is not what was reported: the run says so itself, instead of being taken for lost later."""
        kind = RunKind.RESTORE if isinstance(report, RestoreFinished) else RunKind.BACKUP
        stored = await self._runs.need(kind, report.project, report.service, report.run_id)
        await self._runs.end(kind, stored, RunState.FAILED, exc.info)

    async def _refuse(self, node: str, exc: StrongroomError) -> None:
        now = utc_now()
        log.warning("report.refused", node=node, code=exc.code, reason=exc.message)
        last = self._refused_at.get(node)
        if last is not None and now - last < _REFUSALS_APART:
            return  # one event stands for many: an agent must not be able to fill the audit log
        self._refused_at[node] = now
        await self._runs.events.publish(
            "request.refused", key=f"{node}:{now.isoformat()}", at=now, node=node, error=exc.info
        )


@asynccontextmanager
async def _kept_alive(message: Msg) -> AsyncIterator[None]:
    """Renews the message's ack wait while its effect takes longer."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(ACK_WAIT_S / 3)
            await message.in_progress()

    task = asyncio.create_task(beat(), name="report:keep-alive")
    try:
        yield
    finally:
        await cancel_surely(task)
