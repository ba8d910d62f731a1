"""What projects store: counted from the records, and on request object by object in the bucket."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from contracts.control import ServiceUsage, Usage, UsageCheck, UsageDifference
from contracts.object_keys import ROOT, backup_prefix, project_prefix
from contracts.records import BackupRecord, RunState
from daemon.catalog.catalog import Catalog
from daemon.quotas import Quotas, run_key
from daemon.store.s3 import ObjectStore


class _Found(NamedTuple):
    objects: int
    size_bytes: int


class UsageReport:
    """Read-only."""

    def __init__(self, catalog: Catalog, quotas: Quotas, store: ObjectStore) -> None:
        self._catalog = catalog
        self._quotas = quotas
        self._store = store

    async def of(self, project: str, *, check: bool) -> Usage:
        """Raises: NotFound, Unavailable `store.unavailable`."""
        owner = (await self._catalog.need_project(project)).value
        backups = await self._backups(project)
        usage = await self._quotas.usage(project)
        by_service: defaultdict[str, list[BackupRecord]] = defaultdict(list)
        for service in await self._catalog.services.select(project):
            by_service[service.value.name] = []
        for record in backups.values():
            if record.state in (RunState.COMPLETED, RunState.DELETING):
                by_service[record.service].append(record)
        return Usage(
            project=project,
            plan=owner.plan,
            quota_bytes=owner.quota_bytes,
            stored_bytes=usage.stored_bytes,
            reserved_bytes=usage.reserved_bytes,
            services=[
                ServiceUsage(service=name, backups=len(records), size_bytes=sum(record.size_bytes for record in records))
                for name, records in sorted(by_service.items())
            ],
            check=await self._check(project) if check else None,
        )

    async def _check(self, project: str) -> UsageCheck:
        """Every object under the project's prefix, held against the record of the backup that it is part of."""
        account = await self._quotas.usage(project)
        before = await self._backups(project)
        found: defaultdict[str, _Found] = defaultdict(lambda: _Found(0, 0))
        async for item in self._store.objects(project_prefix(project)):
            prefix = "/".join(item.object_key.removeprefix(ROOT).split("/")[:3])
            known = found[f"{ROOT}{prefix}/"]
            found[f"{ROOT}{prefix}/"] = _Found(known.objects + 1, known.size_bytes + item.size_bytes)
        after = await self._backups(project)
        is_still = (await self._quotas.usage(project)).stored_bytes == account.stored_bytes
        # What began, ended or went while the objects were counted is neither proof nor doubt.  What a run holds is put to
        # account, or cleared away, a moment after its record says that it has ended.
        moving = {
            prefix
            for prefix in before.keys() | after.keys()
            if before.get(prefix) != after.get(prefix)
            or not _is_settled(after[prefix])
            or run_key(after[prefix]) in account.reserved
        }
        differences = []
        counted = sum(record.size_bytes for record in after.values() if record.state is RunState.COMPLETED)
        if is_still and not moving and counted != account.stored_bytes:
            problem = "the project's account is not the sum of its backups"
            differences.append(
                UsageDifference(
                    prefix=project_prefix(project), recorded_bytes=account.stored_bytes, found_bytes=counted, problem=problem
                )
            )
        for prefix in sorted(found.keys() | after.keys()):
            if prefix in moving:
                continue
            record = after.get(prefix)
            expected = record.size_bytes if record is not None and record.state is RunState.COMPLETED else 0
            if found[prefix].size_bytes != expected:
                differences.append(_difference(prefix, record, expected, found[prefix]))
        doubtful = moving | {difference.prefix for difference in differences}
        return UsageCheck(
            objects=sum(each.objects for each in found.values()),
            found_bytes=sum(each.size_bytes for prefix, each in found.items() if prefix not in doubtful),
            under_way_bytes=sum(each.size_bytes for prefix, each in found.items() if prefix in moving),
            differences=differences,
        )

    async def _backups(self, project: str) -> dict[str, BackupRecord]:
        """By the prefix of their objects."""
        records = [stored.value for stored in await self._catalog.backups.select(project)]
        return {backup_prefix(record.project, record.service, record.id): record for record in records}


def _is_settled(record: BackupRecord) -> bool:
    return not record.state.is_active and record.state is not RunState.DELETING


def _difference(prefix: str, record: BackupRecord | None, expected: int, found: _Found) -> UsageDifference:
    if record is None:
        problem = "the bucket holds objects of a backup that no record knows"
    elif not found.objects:
        problem = "the bucket holds nothing of a completed backup"
    elif expected:
        problem = "the bucket holds more or less of the backup than its record says"
    else:
        problem = f"the bucket holds objects of a backup that is {record.state}"
    return UsageDifference(prefix=prefix, recorded_bytes=expected, found_bytes=found.size_bytes, problem=problem)
