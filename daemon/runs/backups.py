"""Backups that end well, and those that somebody cancels."""

from __future__ import annotations

import msgspec

from contracts.errors import Corrupt, ErrorInfo
from contracts.manifest import FORMAT, Manifest
from contracts.object_keys import manifest_key
from contracts.policy.tags import time_tags
from contracts.records import BackupRecord, RunKind, RunState
from contracts.reports import BackupFinished
from contracts.tracing import span
from contracts.wire import encode
from daemon.catalog.buckets import RecordChanged, key
from daemon.runs.allowance import Allowance
from daemon.runs.runs import Runs
from daemon.runs.transitions import check_current, complete_backup


class Backups:
    """The life of backups, on top of what all runs have in common."""

    def __init__(self, runs: Runs, allowance: Allowance) -> None:
        self._runs = runs
        self._allowance = allowance
        self._catalog = runs.catalog

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
            tagged = await self._with_time_tags(record)
            manifest = encode(_manifest(tagged, report))
            if not await self._allowance.for_manifest(record, len(manifest)):
                error = ErrorInfo(
                    code="quota.exceeded",
                    message=f"the project's quota has no room for the manifest of {len(manifest)} bytes; nothing was kept",
                )
                await self._runs.end(RunKind.BACKUP, stored, RunState.FAILED, error)
                return
            object_key = manifest_key(record.project, record.service, record.id)
            with span("manifest.write", within=True, size_bytes=len(manifest)):
                await self._write_manifest(node, record, object_key, manifest)
                await self._runs.store.make_durable()
            after = complete_backup(tagged, report, manifest_key=object_key, manifest_bytes=len(manifest))
            try:
                await self._catalog.backups.update(stored.key, after, stored.revision)
            except RecordChanged:
                await self._runs.remove_if_ended(
                    record, [object_key, *(artifact.object_key for artifact in report.artifacts)]
                )
                continue
            await self._runs.settle(after)
            return

    async def _with_time_tags(self, record: BackupRecord) -> BackupRecord:
        """An automatic backup bears the tags of the periods that it is the first good one of.

        Decided by what completed before it.  That cannot change while this run has the service's place, so whoever
        repeats this, another coordinator too, decides the same.
        """
        if record.due_at is None:
            return record
        state = await self._catalog.states.get(key(record.project, record.service))
        last = state.value.last_automatic_at if state is not None else None
        if last is not None and last > record.due_at:
            # Remembered under a clock that was ahead: what is there says it better.
            listed = await self._catalog.backups.select(key(record.project, record.service))
            dues = [each.value.due_at for each in listed if each.value.was_completed and each.value.due_at is not None]
            last = max((due_at for due_at in dues if due_at < record.due_at), default=None)
        tags = {*record.tags, *time_tags([last] if last else [], record.due_at)}
        return msgspec.structs.replace(record, tags=sorted(tags))

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

    async def _is_all_closed(self, record: BackupRecord, report: BackupFinished) -> bool:
        """Whether the report names exactly the artifacts that were completed and checked in this attempt."""
        for index, artifact in enumerate(report.artifacts, start=1):
            # One by one from the stream's leader: a list may come from a replica that lags behind.
            upload = await self._runs.uploads.find(record, index)
            if upload is None or upload.value.closed != artifact:
                return False
        return bool(report.artifacts) and await self._runs.uploads.find(record, len(report.artifacts) + 1) is None


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
        due_at=record.due_at,
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
