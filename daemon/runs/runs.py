"""What backups and restores have in common: being claimed, being current, ending, and leaving nothing behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import msgspec
import structlog
from nats.js import JetStreamContext

from contracts.bus import patiently
from contracts.errors import Conflict, ErrorInfo, StrongroomError
from contracts.object_keys import backup_prefix, manifest_key
from contracts.records import (
    ActiveRun,
    Activity,
    AnyRun,
    BackupRecord,
    NodeRecord,
    RestoreRecord,
    RunKind,
    RunState,
    RunSummary,
    ServiceState,
)
from contracts.requests import BackupRequest, Request, RestoreRequest, message_id
from contracts.subjects import REPORTS_STREAM, report_subject, request_subject
from contracts.tracing import SpanKind, carry, span
from contracts.wire import encode, utc_now
from daemon.catalog.buckets import RecordBucket, RecordChanged, Stored, key
from daemon.catalog.catalog import Catalog, backup_marker, restore_marker
from daemon.ledger import Ledger
from daemon.quotas import Quotas
from daemon.runs.events import EventPublisher
from daemon.runs.transitions import AttemptsSpent, claim, end_without_success, not_current
from daemon.runs.uploads import Uploads
from daemon.store.s3 import ObjectStore

log = structlog.get_logger()

Run = TypeVar("Run", BackupRecord, RestoreRecord)

_VERB_OF_STATE = {
    RunState.COMPLETED: "completed",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "cancelled",
    RunState.MISSED: "missed",
}


async def _nothing_follows(_: BackupRecord) -> None:
    return


class Runs:
    """Transitions of runs with their effects.  Every effect may be repeated: whoever is cut off, another finishes."""

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        events: EventPublisher,
        js: JetStreamContext,
        *,
        max_attempts: int,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.catalog = catalog
        self.store = store
        self.events = events
        self.ledger = Ledger(catalog)
        self.quotas = Quotas(catalog)
        self.uploads = Uploads(catalog, store)
        self.now = now
        """The wall clock of everything that decides by time."""
        self.after_backup: Callable[[BackupRecord], Awaitable[None]] = _nothing_follows
        """What follows from a backup that has ended, whatever it ended with; may be repeated."""
        self.max_attempts = max_attempts
        self._js = js

    def bucket(self, kind: RunKind) -> RecordBucket[Any]:
        return self.catalog.backups if kind is RunKind.BACKUP else self.catalog.restores

    async def need(self, kind: RunKind, project: str, service: str, run_id: str) -> Stored[Any]:
        """The run's record, or Conflict `run.not_current`: an agent that asks for it has nothing to do."""
        stored = await self.bucket(kind).get(key(project, service, run_id))
        if stored is None:
            raise not_current(run_id, "there is no such run")
        return stored

    async def hand_over(self, record: AnyRun) -> None:
        """Puts the request into the node's queue.  A repetition within ten minutes is stored once."""
        request: Request
        if isinstance(record, BackupRecord):
            request = BackupRequest(
                run_id=record.id,
                project=record.project,
                service=record.service,
                attempt=record.attempt,
                requested_at=record.requested_at,
            )
        else:
            request = RestoreRequest(
                run_id=record.id,
                project=record.project,
                service=record.service,
                attempt=record.attempt,
                requested_at=record.requested_at,
            )
        subject = request_subject(record.node)
        # Within: one that the reaper sends again, to be sure of it, is no trace of its own.
        with span(
            "request.publish",
            kind=SpanKind.PRODUCER,
            within=True,
            node=record.node,
            run_id=record.id,
            attempt=record.attempt,
        ):
            headers = carry({"Nats-Msg-Id": f"{record.project}/{record.service}/{message_id(request)}"})
            await patiently(lambda: self._js.publish(subject, encode(request), headers=headers), "publish request")

    async def claim(self, kind: RunKind, project: str, service: str, run_id: str, *, node: str, instance: str) -> Any:
        """The run's record, now held by this instance of the node's agent.  Raises: Conflict `run.not_current`."""
        while True:
            stored = await self.need(kind, project, service, run_id)
            before = stored.value
            now = self.now()
            after = claim(before, node=node, instance=instance, now=now, max_attempts=self.max_attempts)
            if isinstance(after, AttemptsSpent):
                error = ErrorInfo(
                    code="agent.lost",
                    message=f"the agent on node {node} was lost in each of {before.attempt} attempts; its log may say why",
                )
                await self.end(kind, stored, RunState.FAILED, error)
                raise not_current(run_id, "all its attempts were lost")
            if after is before:
                return after
            try:
                await self.bucket(kind).update(stored.key, after, stored.revision)
            except RecordChanged:
                continue
            if before.state is RunState.REQUESTED:
                await self.events.run("started", after, at=now)
            else:
                await self.uploads.discard_all(after, keep_attempt=after.attempt)
                if kind is RunKind.BACKUP:
                    await self.events.run("retried", after, at=now, reason="the agent that worked on it is gone")
            return after

    async def end(self, kind: RunKind, stored: Stored[Any], state: RunState, error: ErrorInfo) -> bool:
        """Ends a run without success, whatever it is doing; False when it had ended already."""
        while True:
            after = end_without_success(stored.value, state, error, self.now())
            if after is None:
                return False
            try:
                await self.bucket(kind).update(stored.key, after, stored.revision)
            except RecordChanged:
                again = await self.bucket(kind).get(stored.key)
                if again is None:
                    return False
                stored = again
                continue
            await self.settle(after)
            return True

    async def cancel(self, kind: RunKind, stored: Stored[Any], *, actor: str) -> None:
        """Ends a run because somebody wants it ended.  Raises: Conflict `run.not_current` when it has ended already."""
        by = f" by {actor}" if actor else ""
        error = ErrorInfo(code="run.cancelled", message=f"the {kind} was cancelled{by}")
        if not await self.end(kind, stored, RunState.CANCELLED, error):
            raise Conflict("run.not_current", f"{kind} {stored.value.id} has ended already: it is {stored.value.state}")

    async def remove_if_ended(self, record: BackupRecord, object_keys: Sequence[str]) -> None:
        """Removes what was just written for a run that somebody ended without success in the same moment.

        Decided by the run as it is now: objects of a completed one are never touched.
        """
        stored = await self.catalog.backups.get(key(record.project, record.service, record.id))
        if stored is not None and stored.value.state in (RunState.FAILED, RunState.CANCELLED, RunState.MISSED):
            await self.store.remove(object_keys)

    async def report_waits(self, node: str) -> bool:
        """Whether reports of this node are stored and not yet dealt with: what they say is true before it is known."""
        subject = report_subject(node)
        what = f"reports of {node} that wait"
        info = await patiently(lambda: self._js.stream_info(REPORTS_STREAM, subjects_filter=subject), what)
        return bool((info.state.subjects or {}).get(subject))

    async def settle(self, record: AnyRun) -> None:
        """The aftermath of a run that has ended: its event, nothing left of what it gave up, and its place freed.

        The marker goes last, so whoever finds it beside an ended record knows that this has to be done again.
        """
        assert not record.state.is_active
        marker = _marker(record)
        held = await self.catalog.active.get(marker)
        if held is None or held.value.run_id != record.id:
            return
        if record.state in _VERB_OF_STATE:
            await self.events.run(_VERB_OF_STATE[record.state], record, at=record.finished_at or self.now())
        if isinstance(record, BackupRecord):
            await self._settle_backup(record)
        if record.state is RunState.CANCELLED and await self._is_worked_on(record):
            return  # its agent learns of it within seconds; until then nobody else may begin, and the reaper comes back
        await self.release(marker, record.id)

    async def _settle_backup(self, record: BackupRecord) -> None:
        if record.was_completed:
            await self.uploads.discard_all(record, keep_attempt=record.attempt)
            await self.uploads.forget_all(record)
            await self.quotas.commit(record)
        else:
            await self._clear_up(record)
            await self.quotas.drop(record.project, record.service, record.id)
        await self._remember(record)
        await self.ledger.settle(record)
        try:
            with span("retention.apply", within=True):
                await self.after_backup(record)
        except StrongroomError as exc:
            # The next backup makes up for it; until then more is kept than need be.
            log.warning("backup.aftermath_postponed", run_id=record.id, code=exc.code, reason=exc.message)

    async def _clear_up(self, record: BackupRecord) -> None:
        """Nothing is left of a run without success, unless the bucket knows better."""
        if await self.is_whole(record):
            # A catalogue that was set back to an older state, say, asks for runs that were completed in the meantime.
            log.error("backup.unrecorded", project=record.project, service=record.service, run_id=record.id)
            await self.uploads.forget_all(record)
            return
        await self.uploads.discard_all(record)
        await self.store.clear(backup_prefix(record.project, record.service, record.id))

    async def is_whole(self, record: BackupRecord) -> bool:
        """Whether the bucket has the run's manifest, which is written after everything else: whatever the catalogue says,
        all bytes of that backup are there, and no machine may remove them for a run that did not succeed."""
        return await self.store.size_of(manifest_key(record.project, record.service, record.id)) is not None

    async def _remember(self, record: BackupRecord) -> None:
        """What later runs of the service go by, even when this one's record is gone."""

        summary = summary_of(record)

        def newer(state: ServiceState) -> ServiceState:
            if not record.was_completed:
                return state if state.last_run == summary else msgspec.structs.replace(state, last_run=summary)
            last = state.last_automatic_at
            # One that lies in the future was remembered under a clock that was ahead.
            if record.due_at is not None and (last is None or record.due_at > last or last > self.now()):
                last = record.due_at
            after = msgspec.structs.replace(
                state, last_automatic_at=last, last_size_bytes=record.size_bytes, last_completed=summary, last_run=summary
            )
            return state if after == state else after

        await self.catalog.states.change(key(record.project, record.service), newer, absent=ServiceState())

    async def _is_worked_on(self, record: AnyRun) -> bool:
        alive = await self.catalog.alive.get(record.node)
        return alive is not None and any(ref.run_id == record.id for ref in alive.value.running)

    async def occupy(self, marker: str, active: ActiveRun) -> ActiveRun | None:
        """Takes a place that only one may have; answers who has it when that is somebody else."""
        while True:
            try:
                await self.catalog.active.create(marker, active)
            except RecordChanged:
                holder = await self.catalog.active.get(marker)
                if holder is not None:
                    return None if holder.value.run_id == active.run_id else holder.value
                continue
            return None

    async def release(self, marker: str, run_id: str) -> None:
        """Frees the place, if this run still has it."""
        stored = await self.catalog.active.get(marker)
        if stored is not None and stored.value.run_id == run_id:
            try:
                await self.catalog.active.delete(marker, stored.revision)
            except RecordChanged:
                log.debug("marker.changed", marker=marker)

    async def node_record(self, node: str) -> NodeRecord:
        return (await self.catalog.need_node(node)).value


def _marker(record: AnyRun) -> str:
    if isinstance(record, BackupRecord):
        return backup_marker(record.project, record.service)
    return restore_marker(record.target.project, record.target.service)


def summary_of(record: BackupRecord) -> RunSummary:
    """What is remembered of a run that has ended; of one that is being deleted, what it was."""
    elapsed_s = None
    if record.started_at and record.finished_at:
        elapsed_s = (record.finished_at - record.started_at).total_seconds()
    return RunSummary(
        id=record.id,
        state=RunState.COMPLETED if record.was_completed else record.state,
        requested_at=record.requested_at,
        finished_at=record.finished_at,
        trigger=record.trigger,
        node=record.node,
        size_bytes=record.size_bytes,
        elapsed_s=elapsed_s,
        # Without the tool's own words: the state is read with every list.
        error=msgspec.structs.replace(record.error, detail=None) if record.error else None,
    )


def active_run(activity: Activity, record: AnyRun, since: datetime) -> ActiveRun:
    return ActiveRun(activity=activity, project=record.project, service=record.service, run_id=record.id, since=since)
