"""Looking things up: backups, restores, what a manifest says, and signed downloads."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import zstandard
from nats.aio.client import Client

from contracts.control import (
    BackupDetail,
    BackupList,
    Backups,
    Download,
    EventList,
    Events,
    RestoreList,
    Restores,
    StoredEvent,
)
from contracts.errors import Conflict, Corrupt, Denied, InvalidInput, StrongroomError
from contracts.manifest import manifest_decoder
from contracts.records import AnyRun, Attributes, BackupRecord, RestoreRecord, RunState
from contracts.wire import utc_now
from daemon.activity import history
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.filters import EventFilter
from daemon.keys.custody import Custody, parse_recipient
from daemon.run_lists import RunLists, place
from daemon.runs.asks import find_artifact
from daemon.store.s3 import ObjectStore

Run = TypeVar("Run", BackupRecord, RestoreRecord)

_INVENTORY_LIMIT_BYTES = 64 * 1024 * 1024
_WINDOW_LIMIT_BYTES = 128 * 1024 * 1024


class Library:
    """Read-only views of what there is."""

    def __init__(self, client: Client, catalog: Catalog, store: ObjectStore, custody: Custody) -> None:
        self._client = client
        self._catalog = catalog
        self._store = store
        self._custody = custody
        self._backups = RunLists(catalog.backups, shown=_for_lists)
        self._restores = RunLists(catalog.restores)

    async def server(self) -> Attributes:
        """What the coordinator stands on."""
        server = self._client.connected_server_version
        return {
            "nats_server": f"{server.major}.{server.minor}.{server.patch}",
            "nats_url": self._client.connected_url.netloc if self._client.connected_url else "",
            "bucket": self._store.bucket,
        }

    async def backups(self, q: BackupList) -> Backups:
        """A page of a service's, a project's, or all.  Raises: NotFound, InvalidInput for a cursor that no page gave."""
        await self._check(q.project, q.service)
        found = await self._backups.newest_first(_prefix(q.project, q.service))
        if q.states or q.tag:
            found = [run for run in found if (not q.states or run.state in q.states) and (not q.tag or q.tag in run.tags)]
        page, cursor = _page(found, q.cursor, q.limit)
        return Backups(backups=page, next_cursor=cursor, total=len(found))

    async def restores(self, q: RestoreList) -> Restores:
        """A page of those from a service's backups, a project's, or all.  Raises: NotFound, InvalidInput."""
        await self._check(q.project, q.service)
        found = await self._restores.newest_first(_prefix(q.project, q.service))
        if q.states:
            found = [run for run in found if run.state in q.states]
        page, cursor = _page(found, q.cursor, q.limit)
        return Restores(restores=page, next_cursor=cursor, total=len(found))

    async def events(self, q: EventList) -> Events:
        """A page of what happened.  Raises: InvalidInput for a cursor that no page gave, Unavailable."""
        if q.cursor and not (q.cursor.isdecimal() and len(q.cursor) < 19):
            raise InvalidInput("input.invalid", "this cursor was not given by a page of this list", field="cursor")
        wanted = EventFilter(project=q.project, service=q.service, types=tuple(q.types))
        before = int(q.cursor) if q.cursor else None
        page = await history(self._client, wanted, before_sequence=before, limit=q.limit)
        return Events(
            events=[StoredEvent(sequence=each.sequence, event=each.value) for each in page.events],
            next_cursor=str(page.next_before or ""),
        )

    async def detail(self, backup: BackupRecord) -> BackupDetail:
        """The backup with what its manifest says.  Raises: Corrupt `manifest.corrupt`, `store.missing`."""
        if backup.state is not RunState.COMPLETED:
            return BackupDetail(record=backup)
        try:
            manifest = manifest_decoder.decode(await self._store.read(backup.manifest_key))
        except StrongroomError as exc:
            if exc.code.startswith("input."):
                raise Corrupt("manifest.corrupt", f"the manifest of {backup.id} cannot be read: {exc.message}") from exc
            raise
        try:
            sealed = await self._custody.open(backup.project, backup.key_id, manifest.inventory)
        except Denied:
            return BackupDetail(record=backup, tools=manifest.tools)
        try:
            inventory = await asyncio.to_thread(_unpack, sealed)
            return BackupDetail(record=backup, tools=manifest.tools, inventory=inventory)
        except (zstandard.ZstdError, msgspec.DecodeError) as exc:
            raise Corrupt("manifest.corrupt", f"the inventory of {backup.id} cannot be read: {exc}") from exc

    async def download(self, backup: BackupRecord, artifact_name: str, recipient: str) -> Download:
        """A signed URL for an artifact, and for a recipient the header that opens it.

        Raises: Conflict `backup.not_completed`, NotFound `artifact.not_found`, InvalidInput, Denied `key.unavailable`.
        """
        if backup.state is not RunState.COMPLETED:
            raise Conflict("backup.not_completed", f"backup {backup.id} is {backup.state}: there is nothing to download")
        artifact = find_artifact(backup, artifact_name)
        header, offset = b"", 0
        if recipient:
            reader = parse_recipient(recipient, "recipient")
            header, offset = await self._custody.reseal(backup.project, backup.key_id, artifact.object_key, reader)
        return Download(
            artifact=artifact,
            url=await self._store.sign_get(artifact.object_key),
            expires_at=utc_now() + self._store.url_lifetime,
            header=header,
            payload_offset=offset,
        )

    async def _check(self, project: str, service: str) -> None:
        if service:
            await self._catalog.need_service(project, service)
        elif project:
            await self._catalog.need_project(project)


def _page(ordered: Sequence[Run], cursor: str, limit: int) -> tuple[list[Run], str]:
    """The newest `limit` that are older than the cursor, and the cursor of the page after them.

    By the place of the last one shown: what came or went meanwhile neither repeats nor hides others.  Raises: InvalidInput.
    """
    start = 0
    if cursor:
        before = _parse_cursor(cursor)
        start = bisect_left(range(len(ordered)), True, key=lambda number: place(ordered[number]) < before)
    page = list(ordered[start : start + limit])
    return page, _cursor(page[-1]) if start + limit < len(ordered) else ""


def _cursor(run: AnyRun) -> str:
    return ".".join(map(str, place(run)))


def _parse_cursor(cursor: str) -> tuple[int, str, str, str]:
    parts = cursor.split(".")
    if len(parts) != 4 or not parts[0].isdecimal():
        raise InvalidInput("input.invalid", "this cursor was not given by a page of this list", field="cursor")
    return int(parts[0]), parts[1], parts[2], parts[3]


def _for_lists(backup: BackupRecord) -> BackupRecord:
    """Without what only a restore needs: lists have to fit into one message."""
    artifacts = [msgspec.structs.replace(artifact, attributes={}) for artifact in backup.artifacts]
    return msgspec.structs.replace(backup, artifacts=artifacts)


def _unpack(packed: bytes) -> Any:
    """Bounded by reading, not by what the frame says of itself: an agent made it.

    Raises: ZstdError, msgspec.DecodeError, Corrupt when there is more than an inventory may have.
    """
    with zstandard.ZstdDecompressor(max_window_size=_WINDOW_LIMIT_BYTES).stream_reader(packed) as reader:
        plain = reader.read(_INVENTORY_LIMIT_BYTES + 1)
    if len(plain) > _INVENTORY_LIMIT_BYTES:
        raise Corrupt("manifest.corrupt", f"the inventory has more than {_INVENTORY_LIMIT_BYTES} bytes")
    return msgspec.json.decode(plain)


def _prefix(project: str, service: str) -> str:
    return key(*(token for token in (project, service) if token))
