"""Looking things up: backups, restores, what a manifest says, and signed downloads."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import zstandard
from nats.aio.client import Client

from contracts.control import BackupDetail, Download
from contracts.errors import Conflict, Corrupt, Denied, StrongroomError
from contracts.manifest import manifest_decoder
from contracts.records import Attributes, BackupRecord, RestoreRecord, RunState
from contracts.wire import utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.keys.custody import Custody, parse_recipient
from daemon.runs.asks import find_artifact
from daemon.store.s3 import ObjectStore

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

    async def backups(self, project: str, service: str, limit: int) -> list[BackupRecord]:
        """The newest `limit`, of a service, a project, or all.  Raises: NotFound."""
        await self._check(project, service)
        found = await self._catalog.backups.select(_prefix(project, service))
        newest = sorted((stored.value for stored in found), key=lambda backup: backup.requested_at, reverse=True)[:limit]
        return [_for_lists(backup) for backup in newest]

    async def restores(self, project: str, service: str, limit: int) -> list[RestoreRecord]:
        """The newest `limit`.  Raises: NotFound."""
        await self._check(project, service)
        found = await self._catalog.restores.select(_prefix(project, service))
        return sorted((stored.value for stored in found), key=lambda restore: restore.requested_at, reverse=True)[:limit]

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
