"""What happens when the grace after a deletion is over: backups, records and (of a project) the key go for good.

Everything is taken up again where it was cut off: the service's or project's own record goes last.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog

from contracts.errors import Conflict, ErrorInfo, NotFound, StrongroomError
from contracts.object_keys import project_prefix, service_prefix
from contracts.records import Deletion, ProjectRecord, RestoreRecord, RunKind, RunState, ServiceRecord
from daemon.catalog.buckets import RecordBucket, RecordChanged, Stored, key
from daemon.catalog.catalog import backup_marker, restore_marker
from daemon.keys.custody import Custody
from daemon.runs.deletions import Deletions
from daemon.runs.runs import Runs

log = structlog.get_logger()

_CANCELLED: Final = ErrorInfo(code="run.cancelled", message="its service was deleted, and the grace is over")


class Purger:
    """Runs beside the reaper, under its lease."""

    def __init__(self, runs: Runs, deletions: Deletions, custody: Custody, *, patience_s: float) -> None:
        self._runs = runs
        self._patience_s = patience_s
        self._due_since: dict[str, float] = {}
        """By the event loop's clock: a wall clock that is ahead for a moment must not destroy anything."""
        self._catalog = runs.catalog
        self._deletions = deletions
        self._custody = custody

    def begin_term(self) -> None:
        """A new leader has seen nothing itself."""
        self._due_since.clear()

    async def sweep(self, now: datetime) -> None:
        """Purges whatever is due to go, and has been for a while."""
        due: dict[str, float] = {}
        for project in await self._catalog.projects.select():
            if self._is_due(f"{project.key}.-", project.value.deletion, now, due):
                await self._guarded(project.key, self._purge_project(project))
        for service in await self._catalog.services.select():
            if self._is_due(service.key, service.value.deletion, now, due):
                await self._guarded(service.key, self._purge_service(service))
        self._due_since = due

    def _is_due(self, what: str, deletion: Deletion | None, now: datetime, due: dict[str, float]) -> bool:
        if deletion is None or deletion.purge_at > now:
            return False
        clock = asyncio.get_running_loop().time()
        due[what] = self._due_since.get(what, clock)
        return clock - due[what] >= self._patience_s

    async def _guarded(self, what: str, work: Any) -> None:
        try:
            await work
        except StrongroomError as exc:
            log.warning("purge.postponed", what=what, code=exc.code, reason=exc.message)

    async def _purge_project(self, stored: Stored[ProjectRecord]) -> None:
        project = stored.key
        begun = await _begin(self._catalog.projects, stored)
        for service in await self._catalog.services.select(project):
            await self._purge_service(service)
        if await self._catalog.services.select(project):
            return  # a run is still letting go of one of them
        # What no service of it knows any more: once the project is unknown too, nothing looks after it.
        await self._runs.store.clear(project_prefix(project))
        await self._custody.destroy_keys(project)
        usage = await self._catalog.usage.get(project)
        if usage is not None:
            await self._catalog.usage.delete(project, usage.revision)
        # Before the last write: cut off in between, it is stated again instead of never.
        await self._runs.events.publish(
            "project.purged",
            key=f"{project}:{begun.value.created_at.isoformat()}",
            at=self._runs.now(),
            project=project,
            actor=_actor(begun.value.deletion),
        )
        await self._catalog.projects.delete(project, begun.revision)

    async def _purge_service(self, stored: Stored[ServiceRecord]) -> None:
        service = stored.value
        begun = await _begin(self._catalog.services, stored) if service.deletion is not None else stored
        if not await self._purge_runs(service):
            return
        name = key(service.project, service.name)
        await self._runs.store.clear(service_prefix(service.project, service.name))
        await self._runs.ledger.forget(service.project, service.name)
        state = await self._catalog.states.get(name)
        if state is not None:
            await self._catalog.states.delete(name, state.revision)
        await self._runs.events.publish(
            "service.purged",
            key=f"{service.project}/{service.name}:{service.created_at.isoformat()}",
            at=self._runs.now(),
            project=service.project,
            service=service.name,
            actor=_actor(service.deletion),
        )
        await self._catalog.services.delete(name, begun.revision)

    async def _purge_runs(self, service: ServiceRecord) -> bool:
        """Whether nothing is left of the service's runs; what still runs is told to stop."""
        name = key(service.project, service.name)
        found = await self._catalog.backups.select(name)
        for backup in found:
            if backup.value.state.is_active:
                await self._runs.end(RunKind.BACKUP, backup, RunState.CANCELLED, _CANCELLED)
        # A run keeps its place until its agent has let go of it, and its record until its place is free.
        holder = await self._catalog.active.get(backup_marker(service.project, service.name))
        done = holder is None
        for record in (backup.value for backup in found):
            if holder is not None and holder.value.run_id == record.id:
                continue
            try:
                await self._deletions.delete(
                    record.project, record.service, record.id, reason="its grace is over", even_protected=True
                )
            except NotFound:
                continue
            except Conflict as exc:
                log.info("purge.waits", backup_id=record.id, code=exc.code, reason=exc.message)
                done = False
        for restore in await self._catalog.restores.select(name):
            if restore.value.state.is_active or await self._has_place(restore.value):
                done = False
                continue
            await self._catalog.restores.delete(restore.key, restore.revision)
        return done

    async def _has_place(self, restore: RestoreRecord) -> bool:
        holder = await self._catalog.active.get(restore_marker(restore.target.project, restore.target.service))
        return holder is not None and holder.value.run_id == restore.id


async def _begin(bucket: RecordBucket[Any], stored: Stored[Any]) -> Stored[Any]:
    """From here on there is no way back: an undelete that comes now is refused, one that came before wins.

    Raises: RecordChanged.
    """
    deletion = stored.value.deletion
    if deletion.purging:
        return stored
    record = msgspec.structs.replace(stored.value, deletion=msgspec.structs.replace(deletion, purging=True))
    try:
        return Stored(stored.key, record, await bucket.update(stored.key, record, stored.revision))
    except RecordChanged:
        log.info("purge.changed", what=stored.key)
        raise


def _actor(deletion: Deletion | None) -> str | None:
    """Who deleted it; None where nobody said so, or its project was deleted."""
    return (deletion.actor or None) if deletion is not None else None
