"""Deleting backups: marked, emptied, forgotten, in this order, and finished by somebody else where it was cut off."""

from __future__ import annotations

import msgspec
import structlog

from contracts.errors import Conflict
from contracts.object_keys import backup_prefix
from contracts.records import ActiveRun, Activity, BackupRecord, RunState, ServiceState
from daemon.catalog.buckets import RecordChanged, key
from daemon.catalog.catalog import deletion_marker
from daemon.runs.runs import Runs, summary_of

log = structlog.get_logger()


class Deletions:
    """Removes single backups."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._catalog = runs.catalog

    async def delete(
        self, project: str, service: str, backup_id: str, *, reason: str, actor: str = "", even_protected: bool = False
    ) -> None:
        """Removes a backup: record marked, objects gone, record gone.

        Raises: NotFound, Conflict `run.not_current` while it runs, Conflict `backup.in_use` while a restore reads it,
        Conflict `backup.protected` unless that is overridden.
        """
        stored = await self._catalog.need_backup(project, service, backup_id)
        record = stored.value
        if record.state.is_active:
            raise Conflict("run.not_current", f"backup {backup_id} is {record.state}: cancel it first, then delete it")
        if readers := await self._readers(record):
            raise Conflict("backup.in_use", f"restore {readers[0]} is reading backup {backup_id}: wait for it or cancel it")
        if not even_protected:
            await self._check_unprotected(record)
        now = self._runs.now()
        await self._runs.occupy(
            deletion_marker(project, service, backup_id),
            ActiveRun(activity=Activity.DELETION, project=project, service=service, run_id=backup_id, since=now),
        )
        if record.state is not RunState.DELETING:
            record = msgspec.structs.replace(
                record, state=RunState.DELETING, deleting_since=now, deletion_reason=reason, actor=actor or record.actor
            )
            await self._catalog.backups.update(stored.key, record, stored.revision)
            await self._runs.events.run("deleting", record, at=now, reason=reason)
        await self.finish_deletion(project, service, backup_id)

    async def finish_deletion(self, project: str, service: str, backup_id: str) -> None:
        """Carries a deletion that has begun to its end.  Safe to repeat and to run twice at once.

        When it returns, the bytes are given back, whoever did that: who deletes to have room may go by it.
        """
        name = key(project, service, backup_id)
        while (stored := await self._catalog.backups.get(name)) is not None and stored.value.state is RunState.DELETING:
            removed = await self._runs.store.clear(backup_prefix(project, service, backup_id))
            record = stored.value
            try:
                # Taken by its revision: of two who finish the same deletion, one gives the bytes back.
                revision = await self._catalog.backups.update(stored.key, record, stored.revision)
                await self._runs.quotas.release(record, revision)
                await self._runs.events.run(
                    "deleted", record, at=self._runs.now(), reason=record.deletion_reason, facts={"objects": removed}
                )
                await self._catalog.backups.delete(stored.key, revision)
            except RecordChanged:
                log.info("deletion.shared", backup_id=backup_id)  # somebody else finishes it too
        await self._remember_the_one_before(project, service, backup_id)
        await self._runs.quotas.forget_release(project, service, backup_id)
        await self._runs.release(deletion_marker(project, service, backup_id), backup_id)

    async def _remember_the_one_before(self, project: str, service: str, backup_id: str) -> None:
        """Lists must not go on naming a backup that is gone as the newest."""
        name = key(project, service)
        state = await self._catalog.states.get(name)
        if state is None or state.value.last_completed is None or state.value.last_completed.id != backup_id:
            return
        listed = await self._catalog.backups.select(name)
        completed = [stored.value for stored in listed if stored.value.state is RunState.COMPLETED]
        newest = max(completed, key=lambda backup: backup.requested_at, default=None)

        def before(state: ServiceState) -> ServiceState:
            if state.last_completed is None or state.last_completed.id != backup_id:
                return state
            return msgspec.structs.replace(state, last_completed=summary_of(newest) if newest else None)

        await self._catalog.states.change(name, before)

    async def _readers(self, record: BackupRecord) -> list[str]:
        """Restores under way that read this backup."""
        found: list[str] = []
        for marker in await self._catalog.active.select("restore"):
            active = marker.value
            restore = await self._catalog.restores.get(key(active.project, active.service, active.run_id))
            if restore is None or not restore.value.state.is_active:
                continue
            source = (restore.value.project, restore.value.service, restore.value.backup_id)
            if source == (record.project, record.service, record.id):
                found.append(active.run_id)
        return found

    async def _check_unprotected(self, record: BackupRecord) -> None:
        service = await self._catalog.services.get(key(record.project, record.service))
        if service is None:
            return
        if tags := sorted(set(record.tags).intersection(service.value.retention.protected_tags)):
            ref = f"{record.project}/{record.service}/{record.id}"
            raise Conflict(
                "backup.protected",
                f"backup {record.id} bears the protected tag {tags[0]!r}: `strongroom backup protect --off {ref}` takes it "
                "away, `strongroom backup delete --force` deletes it all the same",
                field="id",
            )
