"""Looking things up: backups, restores, what a manifest says, and signed downloads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
import zstandard
from nats.aio.client import Client

from contracts.control import BackupDetail, BackupList, Backups, Download, RestoreList, Restores
from contracts.errors import Conflict, Corrupt, Denied, InvalidInput, StrongroomError
from contracts.manifest import manifest_decoder
from contracts.records import AnyRun, Attributes, BackupRecord, RestoreRecord, RunState
from contracts.wire import utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.keys.custody import Custody, parse_recipient
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
        found = await self._catalog.backups.select(_prefix(q.project, q.service))
        matching = [
            stored.value
            for stored in found
            if (not q.states or stored.value.state in q.states) and (not q.tag or q.tag in stored.value.tags)
        ]
        page, cursor = _page(matching, q.cursor, q.limit)
        return Backups(backups=[_for_lists(backup) for backup in page], next_cursor=cursor, total=len(matching))

    async def restores(self, q: RestoreList) -> Restores:
        """A page of those from a service's backups, a project's, or all.  Raises: NotFound, InvalidInput."""
        await self._check(q.project, q.service)
        found = await self._catalog.restores.select(_prefix(q.project, q.service))
        matching = [stored.value for stored in found if not q.states or stored.value.state in q.states]
        page, cursor = _page(matching, q.cursor, q.limit)
        return Restores(restores=page, next_cursor=cursor, total=len(matching))

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


def _page(runs: Sequence[Run], cursor: str, limit: int) -> tuple[list[Run], str]:
    """The newest `limit` that are older than the cursor, and the cursor of the page after them.

    By the place of the last one shown: what came or went meanwhile neither repeats nor hides others.  Raises: InvalidInput.
    """
    ordered = sorted(runs, key=_place, reverse=True)
    if cursor:
        before = _parse_cursor(cursor)
        ordered = [run for run in ordered if _place(run) < before]
    page = ordered[:limit]
    return page, _cursor(page[-1]) if len(ordered) > limit else ""


def _place(run: AnyRun) -> tuple[int, str, str, str]:
    return int(run.requested_at.timestamp() * 1_000_000), run.id, run.project, run.service


def _cursor(run: AnyRun) -> str:
    return ".".join(map(str, _place(run)))


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
