"""New backups: those that somebody asks for, and those that are due.

Both take the service's place first, then the room in the project's quota, then there is a record, then a request in the
node's queue.  Whatever cuts that off, the place is what the reaper finds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Final

import msgspec

from contracts.errors import Conflict, ErrorInfo
from contracts.ids import new_run_id
from contracts.policy.tags import check_user_tags
from contracts.records import (
    ActiveRun,
    Activity,
    BackupRecord,
    DueRecord,
    ProjectRecord,
    RunState,
    ServiceRecord,
    Trigger,
)
from contracts.services import kind_of
from contracts.tracing import span
from daemon.catalog.buckets import RecordChanged, key
from daemon.catalog.catalog import backup_marker
from daemon.runs.nodes_alive import alive_nodes
from daemon.runs.placement import Placement, place_requested
from daemon.runs.runs import Runs, active_run

_MAKING_ROOM_S: Final = 120.0
"""How long a run may wait for room while it has its place and no record yet; the reaper waits longer than that."""

MakeRoom = Callable[[str, str, int], Awaitable[bool]]
"""Deletes what the project's policies allow so that a service (project, name) can have so many bytes more; whether they were
free at that moment."""


class Taken(Conflict):
    """Another run has the service's place."""

    def __init__(self, project: str, service: str, holder: ActiveRun) -> None:
        super().__init__("run.overlap", f"backup {holder.run_id} of {project}/{service} is still under way")
        self.holder = holder


class Requests:
    """Makes runs and hands them to nodes."""

    def __init__(self, runs: Runs, make_room: MakeRoom) -> None:
        self._runs = runs
        self._catalog = runs.catalog
        self._make_room = make_room

    async def manual(
        self, project: str, service: str, *, node: str = "", tags: Sequence[str] = (), actor: str = ""
    ) -> BackupRecord:
        """A backup that somebody asks for, in its node's queue.

        Raises: NotFound, InvalidInput `input.invalid` for tags, Unavailable `node.unavailable`, Conflict `run.overlap`,
        `quota.exceeded`, `project.deleted`, `service.deleted`.
        """
        distinct = check_user_tags(tags)
        owner, stored = await self._catalog.need_live_service(project, service)
        with span("backup.place", within=True) as placing:
            placement = place_requested(stored.value, await alive_nodes(self._runs, stored.value.nodes), node)
            placing.set(node=placement.node, reason=placement.reason)
        now = self._runs.now()
        record = _new_record(owner, stored.value, placement, run_id=new_run_id(now), now=now)
        record = msgspec.structs.replace(record, actor=actor, tags=distinct, pinned=bool(node))
        try:
            await self._begin(record)
        except RecordChanged:
            await self._runs.release(backup_marker(project, service), record.id)
            raise
        return record

    async def due(
        self, owner: ProjectRecord, service: ServiceRecord, entry: DueRecord, placement: Placement
    ) -> BackupRecord:
        """The backup that this entry of the ledger leads to; however often it is asked for, there is one.

        Raises: Taken, Unavailable.  A quota without room ends the run, it does not raise.
        """
        record = _due_record(owner, service, placement, entry, self._runs.now())
        try:
            await self._begin(record)
        except Taken:
            raise
        except Conflict as exc:
            if exc.code != "quota.exceeded":
                raise
            return await self._end_at_once(record, RunState.FAILED, exc.info)
        return record

    async def missed(self, owner: ProjectRecord, service: ServiceRecord, entry: DueRecord, why: str) -> BackupRecord:
        """The record of a run that no agent was there for.  Safe to repeat.  Raises: Taken."""
        nowhere = Placement(service.nodes[0], "no agent was alive")
        record = _due_record(owner, service, nowhere, entry, self._runs.now())
        await self._occupy(record)
        return await self._end_at_once(record, RunState.MISSED, ErrorInfo(code="run.missed", message=why))

    async def _begin(self, record: BackupRecord) -> None:
        await self._occupy(record)
        if record.due_at is not None and await self._is_known(record):
            return
        await self._reserve(record)
        try:
            await self._catalog.backups.create(_key(record), record)
        except RecordChanged:
            if record.due_at is None:
                raise
            # Somebody else was here meanwhile.  If the run was even settled, what was held just now is held for nobody.
            held = await self._catalog.active.get(backup_marker(record.project, record.service))
            if held is None or held.value.run_id != record.id:
                await self._runs.quotas.drop(record.project, record.service, record.id)
            return
        await self._runs.hand_over(record)
        await self._runs.events.run("requested", record, at=record.requested_at, reason=record.placement)

    async def _is_known(self, record: BackupRecord) -> bool:
        """Whether the run exists already; one that has ended lets go of its place again."""
        known = await self._catalog.backups.get(_key(record))
        if known is None:
            return False
        if not known.value.state.is_active:
            await self._runs.settle(known.value)
        return True

    async def _occupy(self, record: BackupRecord) -> None:
        marker = backup_marker(record.project, record.service)
        holder = await self._runs.occupy(marker, active_run(Activity.BACKUP, record, record.requested_at))
        if holder is not None:
            raise Taken(record.project, record.service, holder)

    async def _reserve(self, record: BackupRecord) -> None:
        """Raises: Conflict `quota.exceeded`, for a manual run after its place was freed."""
        state = await self._catalog.states.get(key(record.project, record.service))
        estimate = (state.value.last_size_bytes if state is not None else None) or 0
        give_up_at = asyncio.get_running_loop().time() + _MAKING_ROOM_S
        while True:
            try:
                await self._runs.quotas.reserve(record, estimate)
                return
            except Conflict:
                # Room that was made may be taken by another run before this one comes to it: then once more.
                if await self._find_room(record, estimate, give_up_at):
                    continue
                if record.due_at is None:
                    await self._runs.release(backup_marker(record.project, record.service), record.id)
                raise

    async def _find_room(self, record: BackupRecord, estimate: int, give_up_at: float) -> bool:
        try:
            async with asyncio.timeout_at(give_up_at):
                return await self._make_room(record.project, record.service, estimate)
        except TimeoutError:
            return False

    async def _end_at_once(self, record: BackupRecord, state: RunState, error: ErrorInfo) -> BackupRecord:
        """The run has its place, and nothing else: written down as it ended."""
        now = self._runs.now()
        ended = msgspec.structs.replace(record, state=state, finished_at=now, error=error)
        try:
            await self._catalog.backups.create(_key(record), ended)
        except RecordChanged:
            known = await self._catalog.backups.get(_key(record))
            if known is not None:
                ended = known.value
        if not ended.state.is_active:
            await self._runs.settle(ended)
        return ended


def _due_record(
    owner: ProjectRecord, service: ServiceRecord, placement: Placement, entry: DueRecord, now: datetime
) -> BackupRecord:
    record = _new_record(owner, service, placement, run_id=entry.run_id, now=now)
    return msgspec.structs.replace(record, trigger=Trigger.SCHEDULE, due_at=entry.due_at)


def _new_record(
    owner: ProjectRecord, service: ServiceRecord, placement: Placement, *, run_id: str, now: datetime
) -> BackupRecord:
    return BackupRecord(
        id=run_id,
        project=service.project,
        service=service.name,
        kind=kind_of(service.options),
        state=RunState.REQUESTED,
        trigger=Trigger.MANUAL,
        requested_at=now,
        node=placement.node,
        placement=placement.reason,
        options=service.options,
        recipients=owner.recipients,
        key_id=owner.key_id,
    )


def _key(record: BackupRecord) -> str:
    return key(record.project, record.service, record.id)
