"""How much of the project's quota an artifact under way may have."""

from __future__ import annotations

from contracts.multipart import part_start
from contracts.records import BackupRecord, UploadRecord
from daemon.quotas import MANIFEST, exceeded
from daemon.runs.requesting import MakeRoom
from daemon.runs.runs import Runs


class Allowance:
    """Tops a run's reservation up while it streams; where nothing is left, retention is asked for room once."""

    def __init__(self, runs: Runs, make_room: MakeRoom) -> None:
        self._runs = runs
        self._make_room = make_room

    async def for_parts(self, record: BackupRecord, upload: UploadRecord, numbers: range) -> int:
        """Bytes that the artifact may have in all, up to the end of the last of these parts.

        It may be fewer parts, so that others have room too, and where the quota ends even the middle of one.  Room is made
        only where the next byte would be refused, or where one single part is asked for, which agents do that cannot go on
        with less.  Raises: Conflict `quota.exceeded` when not even the first part may begin.
        """
        base = upload.base_part_bytes
        begin, ends = part_start(base, numbers[0]), [part_start(base, number + 1) for number in numbers]
        first_end = ends[0]
        allowed = await self._runs.quotas.grant_ahead(record, str(upload.index), ends)
        enough = first_end if len(numbers) == 1 else begin + 1
        while allowed < enough and await self._make_room(record.project, record.service, first_end - allowed):
            before = allowed
            allowed = await self._runs.quotas.grant(record, str(upload.index), first_end)
            if allowed == before:
                break  # the run was ended meanwhile and may have nothing any more, or others were quicker again
        if allowed <= begin:
            await self._refuse(record, upload, first_end)
        return allowed

    async def for_whole(self, record: BackupRecord, upload: UploadRecord, size_bytes: int) -> None:
        """Raises: Conflict `quota.exceeded` unless the artifact may have as many bytes as it has."""
        allowed = await self._runs.quotas.grant(record, str(upload.index), size_bytes)
        if allowed < size_bytes:
            await self._refuse(record, upload, size_bytes)

    async def for_manifest(self, record: BackupRecord, size_bytes: int) -> bool:
        """Whether the manifest, without which all that was stored is worth nothing, may have as many bytes as it has."""
        allowed = await self._runs.quotas.grant(record, MANIFEST, size_bytes)
        if allowed < size_bytes and await self._make_room(record.project, record.service, size_bytes - allowed):
            allowed = await self._runs.quotas.grant(record, MANIFEST, size_bytes)
        return allowed >= size_bytes

    async def _refuse(self, record: BackupRecord, upload: UploadRecord, wanted_bytes: int) -> None:
        owner = await self._runs.catalog.need_project(record.project)
        usage = await self._runs.quotas.usage(record.project)
        raise exceeded(usage, owner.value.quota_bytes, f"{upload.name!r} would take {wanted_bytes:,} bytes or more")
