"""The recovery kit of a project, from what the catalogue knows."""

from __future__ import annotations

from datetime import datetime

from contracts.custody import CustodyKind
from contracts.records import BackupRecord, RunState, ServiceRecord
from contracts.recovery_kit import KitService, RecoveryKit
from contracts.services import kind_of
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.store.s3 import ObjectStore


async def recovery_kit(catalog: Catalog, store: ObjectStore, project: str, now: datetime) -> RecoveryKit:
    """With the newest completed backup of each service.  Raises: NotFound `project.not_found`."""
    record = (await catalog.need_project(project)).value
    services = sorted((stored.value for stored in await catalog.services.select(key(project))), key=lambda each: each.name)
    return RecoveryKit(
        project=project,
        made_at=now,
        custody=CustodyKind.MANAGED if record.key_id else CustodyKind.CUSTOMER,
        recipients=record.recipients,
        bucket=store.bucket,
        endpoint_url=store.endpoint_url,
        region=store.region,
        services=[_service(each, await _newest(catalog, each)) for each in services],
    )


async def _newest(catalog: Catalog, service: ServiceRecord) -> BackupRecord | None:
    state = await catalog.states.get(key(service.project, service.name))
    last = state.value.last_completed if state is not None else None
    if last is None:
        return None
    found = await catalog.backups.get(key(service.project, service.name, last.id))
    return found.value if found is not None and found.value.state is RunState.COMPLETED else None


def _service(service: ServiceRecord, newest: BackupRecord | None) -> KitService:
    kind = kind_of(service.options)
    if newest is None:
        return KitService(service=service.name, kind=kind)
    return KitService(
        service=service.name,
        kind=kind,
        backup_id=newest.id,
        requested_at=newest.requested_at,
        artifacts=newest.artifacts,
    )
