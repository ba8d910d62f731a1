"""Artifacts on their way, as the coordinator keeps them: found, given up, forgotten."""

from __future__ import annotations

import structlog

from contracts.errors import NotFound
from contracts.records import AnyRun, BackupRecord, UploadRecord
from daemon.catalog.buckets import RecordChanged, Stored, key
from daemon.catalog.catalog import Catalog
from daemon.store.s3 import ObjectStore

log = structlog.get_logger()


class Uploads:
    """The uploads of runs.  Everything here may be repeated."""

    def __init__(self, catalog: Catalog, store: ObjectStore) -> None:
        self._catalog = catalog
        self._store = store

    async def discard_all(self, record: AnyRun, *, keep_attempt: int = 0) -> None:
        """Nothing is left of the run's uploads, those of `keep_attempt` aside."""
        for stored in await self._catalog.uploads_of(record.project, record.service, record.id):
            if stored.value.attempt != keep_attempt:
                await self.discard(stored)

    async def discard(self, stored: Stored[UploadRecord]) -> None:
        """Neither parts nor object nor record are left.  Safe to repeat; an upload that changed meanwhile is left alone."""
        upload = stored.value
        if upload.upload_id and upload.closed is None:
            await self._store.abort_upload(upload.object_key, upload.upload_id)
        if not upload.upload_id:
            # Its coordinator was cut off between asking the store for an id and writing it down.
            async for found in self._store.open_uploads(upload.object_key):
                await self._store.abort_upload(found.object_key, found.upload_id)
        try:
            # Taken by its revision before the object goes: what somebody closed meanwhile is not ours to remove.
            revision = await self._catalog.uploads.update(stored.key, upload, stored.revision)
        except RecordChanged:
            log.debug("upload.changed", upload=stored.key)
            return
        # Whether completion had gone through when it was cut off is not known, so the object goes in any case.
        await self._store.remove([upload.object_key])
        await self.forget(Stored(stored.key, upload, revision))

    async def forget(self, stored: Stored[UploadRecord]) -> None:
        try:
            await self._catalog.uploads.delete(stored.key, stored.revision)
        except RecordChanged:
            log.debug("upload.changed", upload=stored.key)

    async def forget_all(self, record: BackupRecord) -> None:
        for stored in await self._catalog.uploads_of(record.project, record.service, record.id):
            await self.forget(stored)

    async def find(self, record: BackupRecord, index: int) -> Stored[UploadRecord] | None:
        """The upload of the record's attempt, read from the stream's leader."""
        name = key(record.project, record.service, record.id, str(record.attempt), str(index))
        return await self._catalog.uploads.get(name)

    async def need(self, record: BackupRecord, index: int) -> Stored[UploadRecord]:
        """Raises: NotFound `artifact.not_found` when the artifact was never opened in this attempt."""
        stored = await self.find(record, index)
        if stored is None:
            raise NotFound("artifact.not_found", f"artifact {index} of run {record.id} is not open", field="index")
        return stored
