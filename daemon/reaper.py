"""The reaper: finishes or undoes what was cut off, wherever it was cut.

Everything under way has a marker in the active bucket, and every upload a record, so one look at these two small buckets
finds all there is to do, however many backups there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Final

import msgspec
import structlog

from contracts.errors import ErrorInfo, StrongroomError
from contracts.records import ActiveRun, Activity, AnyRun, RunKind, RunState
from contracts.tasks import cancellable
from daemon.catalog.buckets import Stored, key
from daemon.orphans import Orphans, OrphanSettings
from daemon.purger import Purger
from daemon.runs.deletions import Deletions
from daemon.runs.moving import Mover
from daemon.runs.runs import Runs

log = structlog.get_logger()

_LONG_AGO: Final = 6
_CUT_OFF_S: Final = 300.0
"""A place that was taken this long ago, and for which there is still no record, was taken by somebody who was cut off.
Much longer than anybody tries to make room in the quota (`daemon.runs.requesting`)."""


class ReaperSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long silence is believed to be a pause."""

    every_s: float = 5
    start_deadline_s: float = 300
    """A request that no agent has taken up by then is missed."""
    lost_after_s: float = 90
    """A running attempt that its node has not named for this long is lost.  Longer than the ack wait of requests (30 s), so
    that an agent which comes back gets its second attempt."""
    settle_after_s: float = 10
    """An ended run whose place was not freed for this long is cleaned up after."""
    orphans: OrphanSettings = OrphanSettings()
    orphans_every_s: float = 600
    orphan_objects_every_s: float = 21_600
    """How often the whole bucket is listed."""
    purge_every_s: float = 300
    """How often it is looked for deleted projects and services whose grace is over."""
    purge_after_s: float = 3600
    """How long a grace has to be over, by a clock that does not step, before anything is destroyed."""


class Reaper:
    """Runs under a lease; each of its acts is compare-and-set and may be repeated."""

    def __init__(
        self, runs: Runs, mover: Mover, deletions: Deletions, orphans: Orphans, purger: Purger, settings: ReaperSettings
    ) -> None:
        self._runs = runs
        self._catalog = runs.catalog
        self._mover = mover
        self._deletions = deletions
        self._orphans = orphans
        self._purger = purger
        self._settings = settings
        self._last_named: dict[tuple[str, int], float] = {}
        """By the event loop's clock, like everything here that measures silence: it does not step, and a host that was
        suspended wakes up with the time it had."""
        self._handed_over: set[tuple[str, int]] = set()
        self._ended: dict[str, float] = {}
        self._requested_since: dict[tuple[str, int], float] = {}
        self._without_record: dict[str, float] = {}
        self._alive: dict[str, datetime] = {}
        self._looked_at = 0.0

    async def run(self) -> None:
        """Until cancelled."""
        # A new leader gives everybody a full term: what it has not seen itself it does not judge.
        self._last_named.clear()
        self._handed_over.clear()
        self._ended.clear()
        self._requested_since.clear()
        self._alive.clear()
        self._without_record.clear()
        self._purger.begin_term()
        # Side by side: while a large project is purged, or the bucket is listed, lost runs are found all the same.
        async with asyncio.TaskGroup() as group:
            for every_s, sweep in (
                (self._settings.every_s, self.sweep),
                (self._settings.orphans_every_s, self._orphans.sweep_uploads),
                (self._settings.orphan_objects_every_s, self._orphans.sweep_objects),
                (self._settings.purge_every_s, self._purger.sweep),
            ):
                group.create_task(cancellable(self._repeat(every_s, sweep)), name=f"reaper:{sweep.__qualname__}")

    async def _repeat(self, every_s: float, sweep: Callable[[datetime], Coroutine[None, None, None]]) -> None:
        while True:
            try:
                await sweep(self._runs.now())
            except StrongroomError as exc:
                log.warning("reaper.postponed", chore=sweep.__qualname__, code=exc.code, reason=exc.message)
            except Exception:
                log.exception("reaper.failed", chore=sweep.__qualname__)
            await asyncio.sleep(every_s)

    async def sweep(self, now: datetime) -> None:
        """One look at everything under way."""
        clock = asyncio.get_running_loop().time()
        if clock - self._looked_at > _LONG_AGO * self._settings.every_s:
            # Whatever kept it from looking, it has not seen who was silent meanwhile.
            self._last_named.clear()
        self._looked_at = clock
        running: set[tuple[str, int]] = set()
        markers = await self._catalog.active.select()
        for marker in markers:
            try:
                if marker.value.activity is Activity.DELETION:
                    await self._deletion(marker)
                else:
                    await self._run(marker, running)
            except StrongroomError as exc:
                log.warning("reaper.skipped", marker=marker.key, code=exc.code, reason=exc.message)
        active = {marker.value.run_id for marker in markers}
        self._ended = {run_id: seen for run_id, seen in self._ended.items() if run_id in active}
        self._handed_over = {run for run in self._handed_over if run[0] in active}
        self._requested_since = {run: seen for run, seen in self._requested_since.items() if run[0] in active}
        self._without_record = {run_id: seen for run_id, seen in self._without_record.items() if run_id in active}
        self._last_named = {run: seen for run, seen in self._last_named.items() if run in running}
        await self._uploads_of_ended_runs()
        await self._silent_nodes(now)

    async def _run(self, marker: Stored[ActiveRun], running: set[tuple[str, int]]) -> None:
        active = marker.value
        kind = RunKind.BACKUP if active.activity is Activity.BACKUP else RunKind.RESTORE
        stored = await self._runs.bucket(kind).get(key(active.project, active.service, active.run_id))
        clock = asyncio.get_running_loop().time()
        if stored is None:
            # Cut off after it had taken its place and perhaps some of the quota.
            if clock - self._without_record.setdefault(active.run_id, clock) > _CUT_OFF_S:
                if kind is RunKind.BACKUP:
                    await self._runs.quotas.drop(active.project, active.service, active.run_id)
                await self._runs.release(marker.key, active.run_id)
            return
        record: AnyRun = stored.value
        if record.state is RunState.REQUESTED:
            await self._still_requested(kind, stored, record)
        elif record.state is RunState.RUNNING:
            running.add((record.id, record.attempt))
            await self._running(kind, stored, record)
        elif (
            record.state is RunState.CANCELLED
            or clock - self._ended.setdefault(record.id, clock) >= self._settings.settle_after_s
        ):
            # Whoever ended it is normally at this very moment doing the same.
            await self._runs.settle(record)

    async def _still_requested(self, kind: RunKind, stored: Stored[AnyRun], record: AnyRun) -> None:
        clock = asyncio.get_running_loop().time()
        run = (record.id, record.attempt)
        if clock - self._requested_since.setdefault(run, clock) > self._settings.start_deadline_s:
            alive = await self._catalog.alive.get(record.node)
            if alive is not None and alive.value.running:
                return  # its agent is busy with other runs: the request waits in its queue
            error = ErrorInfo(
                code="node.unavailable",
                message=f"no agent on node {record.node} took the request up within "
                f"{self._settings.start_deadline_s:.0f} s: is strongroom-agent running there?",
            )
            await self._mover.fail(kind, stored, RunState.MISSED, error)
        elif run not in self._handed_over:
            # The coordinator that wrote the record may have been cut off before it published the request.
            await self._runs.hand_over(record)
            self._handed_over.add(run)

    async def _running(self, kind: RunKind, stored: Stored[AnyRun], record: AnyRun) -> None:
        run = (record.id, record.attempt)
        alive = await self._catalog.alive.get(record.node)
        named = alive is not None and any((ref.run_id, ref.attempt) == run for ref in alive.value.running)
        clock = asyncio.get_running_loop().time()
        last = self._last_named.setdefault(run, clock)
        if named:
            self._last_named[run] = clock
        elif clock - last > self._settings.lost_after_s:
            if await self._runs.report_waits(record.node):
                return  # the work is done, and the coordinators have not come to it yet
            what = "is alive but no longer knows of it" if alive else "stopped answering"
            error = ErrorInfo(
                code="agent.lost",
                message=f"the agent on node {record.node} {what}: nothing was heard of the run for "
                f"{self._settings.lost_after_s:.0f} s; see the agent's log, then start the run again",
            )
            await self._mover.fail(kind, stored, RunState.FAILED, error)

    async def _deletion(self, marker: Stored[ActiveRun]) -> None:
        active = marker.value
        stored = await self._catalog.backups.get(key(active.project, active.service, active.run_id))
        if stored is not None and stored.value.state is not RunState.DELETING:
            # Cut off before the record was marked: nothing was removed, so nothing is.
            clock = asyncio.get_running_loop().time()
            if clock - self._without_record.setdefault(active.run_id, clock) > _CUT_OFF_S:
                await self._runs.release(marker.key, active.run_id)
            return
        await self._deletions.finish_deletion(active.project, active.service, active.run_id)

    async def _silent_nodes(self, now: datetime) -> None:
        """States which nodes have fallen silent since the last look."""
        alive = {stored.key: stored.value.seen_at for stored in await self._catalog.alive.select()}
        for node, seen_at in self._alive.items():
            if node not in alive and await self._catalog.nodes.get(node) is not None:
                key_ = f"{node}:{seen_at.isoformat()}"
                await self._runs.events.publish("node.silent", key=key_, at=now, node=node)
        self._alive = alive

    async def _uploads_of_ended_runs(self) -> None:
        for stored in await self._catalog.uploads.select():
            upload = stored.value
            run = await self._catalog.backups.get(key(upload.project, upload.service, upload.run_id))
            if run is not None and run.value.state.is_active and run.value.attempt == upload.attempt:
                continue
            if run is not None and run.value.state is RunState.COMPLETED and run.value.attempt == upload.attempt:
                await self._runs.uploads.forget(stored)
            else:
                await self._runs.uploads.discard(stored)
