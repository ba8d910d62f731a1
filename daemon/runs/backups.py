"""Backups: asked for, finished, cancelled, deleted."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from contracts.errors import Conflict, Corrupt, ErrorInfo
from contracts.ids import new_run_id
from contracts.manifest import FORMAT, Manifest
from contracts.object_keys import backup_prefix, manifest_key
from contracts.policy.tags import check_user_tags
from contracts.records import ActiveRun, Activity, Alive, BackupRecord, RunKind, RunState, Trigger
from contracts.reports import BackupFinished
from contracts.services import kind_of
from contracts.wire import encode, utc_now
from daemon.catalog.buckets import RecordChanged, Stored, key
from daemon.catalog.catalog import backup_marker, deletion_marker
from daemon.runs.placement import place
from daemon.runs.runs import Runs, active_run
from daemon.runs.transitions import check_current, complete_backup

log = structlog.get_logger()


class Backups:
    """The life of backups, on top of what all runs have in common."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._catalog = runs.catalog

    async def request(
        self, project: str, service: str, *, node: str = "", tags: Sequence[str] = (), actor: str = ""
    ) -> BackupRecord:
        """A new backup, in its node's queue.

        Raises: NotFound, InvalidInput `input.invalid` for tags, Unavailable `node.unavailable`, Conflict `run.overlap`.
        """
        distinct = check_user_tags(tags)
        owner = (await self._catalog.need_project(project)).value
        stored = await self._catalog.need_service(project, service)
        placement = place(stored.value, await alive_nodes(self._runs, stored.value.nodes), node)
        now = utc_now()
        record = BackupRecord(
            id=new_run_id(now),
            project=project,
            service=service,
            kind=kind_of(stored.value.options),
            state=RunState.REQUESTED,
            trigger=Trigger.MANUAL,
            requested_at=now,
            node=placement.node,
            placement=placement.reason,
            options=stored.value.options,
            recipients=owner.recipients,
            key_id=owner.key_id,
            actor=actor,
            tags=distinct,
        )
        marker = backup_marker(project, service)
        holder = await self._runs.occupy(marker, active_run(Activity.BACKUP, record, now))
        if holder is not None:
            raise Conflict("run.overlap", f"backup {holder.run_id} of {project}/{service} is still under way")
        try:
            await self._catalog.backups.create(key(project, service, record.id), record)
        except RecordChanged:
            await self._runs.release(marker, record.id)
            raise
        await self._runs.hand_over(record)
        await self._runs.events.run("requested", record, at=now, reason=placement.reason)
        return record

    async def finish(self, node: str, report: BackupFinished) -> None:
        """Takes a finished backup into the catalogue: manifest, record, event, in this order.  Safe to repeat.

        Raises: Conflict `run.not_current` for a report that does not count.
        """
        while True:
            stored = await self._runs.need(RunKind.BACKUP, report.project, report.service, report.run_id)
            record: BackupRecord = stored.value
            if record.state is RunState.COMPLETED and (record.node, record.attempt) == (node, report.attempt):
                await self._runs.settle(record)
                return
            check_current(record, node=node, attempt=report.attempt)
            if not await self._is_all_closed(record, report):
                error = ErrorInfo(
                    code="upload.mismatch", message="the agent's report does not name what was uploaded; nothing was kept"
                )
                await self._runs.end(RunKind.BACKUP, stored, RunState.FAILED, error)
                return
            manifest = encode(_manifest(record, report))
            object_key = manifest_key(record.project, record.service, record.id)
            await self._write_manifest(node, record, object_key, manifest)
            await self._runs.store.make_durable()
            after = complete_backup(record, report, manifest_key=object_key, manifest_bytes=len(manifest))
            try:
                await self._catalog.backups.update(stored.key, after, stored.revision)
            except RecordChanged:
                await self._runs.clear_if_ended(record)
                continue
            await self._runs.settle(after)
            return

    async def _write_manifest(self, node: str, record: BackupRecord, object_key: str, manifest: bytes) -> None:
        """Writes the manifest of a run that is this node's.

        One that is there already was written by an attempt that never became the record: nothing refers to it, so the one
        object that has the same name in every attempt may be replaced.
        """
        try:
            await self._runs.store.write_once(object_key, manifest)
        except Corrupt:
            fresh = await self._runs.need(RunKind.BACKUP, record.project, record.service, record.id)
            check_current(fresh.value, node=node, attempt=record.attempt)
            await self._runs.store.remove([object_key])
            await self._runs.store.write_once(object_key, manifest)

    async def cancel(self, project: str, service: str, backup_id: str, *, actor: str = "") -> BackupRecord:
        """Ends a backup that has not ended; its agent stops at its next question.  Raises: Conflict `run.not_current`."""
        stored = await self._catalog.need_backup(project, service, backup_id)
        await self._runs.cancel(RunKind.BACKUP, stored, actor=actor)
        return (await self._catalog.need_backup(project, service, backup_id)).value

    async def delete(self, project: str, service: str, backup_id: str, *, reason: str, actor: str = "") -> None:
        """Removes a backup: record marked, objects gone, record gone.

        Raises: NotFound, Conflict `run.not_current` while it runs, Conflict `backup.in_use` while a restore reads it.
        """
        stored = await self._catalog.need_backup(project, service, backup_id)
        record = stored.value
        if record.state.is_active:
            raise Conflict("run.not_current", f"backup {backup_id} is {record.state}: cancel it first, then delete it")
        if readers := await self._readers(record):
            raise Conflict("backup.in_use", f"restore {readers[0]} is reading backup {backup_id}: wait for it or cancel it")
        now = utc_now()
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
        """Carries a deletion that has begun to its end.  Safe to repeat and to run twice at once."""
        stored = await self._catalog.backups.get(key(project, service, backup_id))
        if stored is not None and stored.value.state is RunState.DELETING:
            removed = await self._runs.store.clear(backup_prefix(project, service, backup_id))
            await self._runs.events.run(
                "deleted", stored.value, at=utc_now(), reason=stored.value.deletion_reason, facts={"objects": removed}
            )
            try:
                await self._catalog.backups.delete(stored.key, stored.revision)
            except RecordChanged:
                log.info("deletion.finished_elsewhere", backup_id=backup_id)
        await self._runs.release(deletion_marker(project, service, backup_id), backup_id)

    async def _is_all_closed(self, record: BackupRecord, report: BackupFinished) -> bool:
        """Whether the report names exactly the artifacts that were completed and checked in this attempt."""
        for index, artifact in enumerate(report.artifacts, start=1):
            # One by one from the stream's leader: a list may come from a replica that lags behind.
            upload = await self._runs.find_upload(record, index)
            if upload is None or upload.value.closed != artifact:
                return False
        return bool(report.artifacts) and await self._runs.find_upload(record, len(report.artifacts) + 1) is None

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


def _manifest(record: BackupRecord, report: BackupFinished) -> Manifest:
    """Made of the record and the report alone, so that a repetition gives the same bytes."""
    return Manifest(
        format=FORMAT,
        id=record.id,
        project=record.project,
        service=record.service,
        options=record.options,
        node=record.node,
        trigger=record.trigger,
        attempt=record.attempt,
        requested_at=record.requested_at,
        started_at=report.started_at,
        finished_at=report.finished_at,
        tags=record.tags,
        recipients=record.recipients,
        key_id=record.key_id,
        artifacts=report.artifacts,
        tools=report.tools,
        summary=report.summary,
        warnings=report.warnings,
        inventory=report.sealed_inventory,
    )


async def alive_nodes(runs: Runs, nodes: Sequence[str]) -> dict[str, Alive]:
    """Those of the nodes whose heartbeat is fresh."""
    found: list[tuple[str, Stored[Alive] | None]] = [(node, await runs.catalog.alive.get(node)) for node in nodes]
    return {node: stored.value for node, stored in found if stored is not None}
