"""What lies in the bucket and belongs to nothing: uploads that nobody wrote down, objects without a record.

Nothing here is in a hurry, and nothing that could be somebody's backup is touched.  Another installation may use the same
bucket for projects of its own, a catalogue may have been set back to an older state, or lost and begun anew: so only what
lies under a project that is known here and is younger than that project can be an orphan, and never what has a manifest,
since that is a whole backup, whoever has forgotten it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import msgspec
import structlog

from contracts.ids import is_run_path
from contracts.object_keys import ROOT, manifest_key
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.quotas import Quotas
from daemon.store.s3 import ObjectInfo, ObjectStore

log = structlog.get_logger()


class OrphanSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How old something has to be before it is nobody's."""

    uploads_after_s: float = 3600
    """Uploads that no record knows."""
    objects_after_s: float = 86_400
    """Objects that no record knows, and that are no whole backup."""


class _Run(msgspec.Struct):
    """The objects of one backup, as they were listed."""

    project: str
    service: str
    run_id: str
    object_keys: list[str]
    newest: datetime


class Orphans:
    """Finds and removes."""

    def __init__(self, catalog: Catalog, store: ObjectStore, quotas: Quotas, settings: OrphanSettings) -> None:
        self._catalog = catalog
        self._store = store
        self._quotas = quotas
        self._uploads_after = timedelta(seconds=settings.uploads_after_s)
        self._objects_after = timedelta(seconds=settings.objects_after_s)
        self._idle: set[tuple[str, str]] = set()

    async def sweep_uploads(self, now: datetime) -> None:
        """Aborts uploads in the bucket that nobody has written down, once they are old enough to be nobody's."""
        known = {upload.value.upload_id for upload in await self._catalog.uploads.select()}
        projects = {stored.key: stored.value for stored in await self._catalog.projects.select()}
        oldest = now - self._uploads_after
        async for upload in self._store.open_uploads(ROOT):
            owner = projects.get(upload.object_key.removeprefix(ROOT).partition("/")[0])
            if owner is None or upload.initiated_at <= owner.created_at or upload.initiated_at >= oldest:
                continue
            if upload.upload_id not in known:
                log.warning("upload.orphaned", object_key=upload.object_key)
                await self._store.abort_upload(upload.object_key, upload.upload_id)
        await self._drop_reservations()

    async def sweep_objects(self, now: datetime) -> None:
        """Removes objects that no record knows, once they are old enough."""
        projects = {stored.key: stored.value for stored in await self._catalog.projects.select()}
        async for run in self._listed():
            owner = projects.get(run.project)
            if owner is None or run.newest <= owner.created_at or run.newest > now - self._objects_after:
                continue
            if await self._catalog.backups.get(key(run.project, run.service, run.run_id)) is not None:
                continue
            if manifest_key(run.project, run.service, run.run_id) in run.object_keys:
                log.warning("backup.unrecorded", project=run.project, service=run.service, run_id=run.run_id)
                continue
            log.warning(
                "objects.orphaned", project=run.project, service=run.service, run_id=run.run_id, objects=len(run.object_keys)
            )
            await self._store.remove(run.object_keys)

    async def _listed(self) -> AsyncIterator[_Run]:
        """All objects, backup by backup: the store lists them in order."""
        run: _Run | None = None
        async for item in self._store.objects(ROOT):
            found = _run_of(item)
            if found is None:
                continue
            if run is not None and (run.project, run.service, run.run_id) == (found.project, found.service, found.run_id):
                run.object_keys.append(item.object_key)
                run.newest = max(run.newest, item.modified_at)
                continue
            if run is not None:
                yield run
            run = found
        if run is not None:
            yield run

    async def _drop_reservations(self) -> None:
        """Gives back what is held for runs that have no place any more, the second time that they are seen.

        It takes a coordinator that stood still in the wrong moment to leave one behind.
        """
        active = {(m.value.project, f"{m.value.service}/{m.value.run_id}") for m in await self._catalog.active.select()}
        idle = set()
        for stored in await self._catalog.usage.select():
            for run in stored.value.reserved:
                if (stored.key, run) in active:
                    continue
                if (stored.key, run) in self._idle:
                    service, _, run_id = run.partition("/")
                    log.warning("reservation.orphaned", project=stored.key, service=service, run_id=run_id)
                    await self._quotas.drop(stored.key, service, run_id)
                else:
                    idle.add((stored.key, run))
        self._idle = idle


def _run_of(item: ObjectInfo) -> _Run | None:
    parts = item.object_key.removeprefix(ROOT).split("/")
    if len(parts) < 4 or not is_run_path(*parts[:3]):
        return None
    return _Run(parts[0], parts[1], parts[2], [item.object_key], item.modified_at)
