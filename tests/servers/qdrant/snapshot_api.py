"""The part of the HTTP API that is about snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import tempfile
import urllib.request
from collections.abc import Coroutine
from pathlib import Path
from typing import IO, Any, Final
from urllib.parse import unquote, urlparse

from aiohttp import BodyPartReader, web
from qdrant_client.http import models

from tests.servers.qdrant.answers import Failure, accepted, body_of, ok, query_of
from tests.servers.qdrant.rights import ACCESS
from tests.servers.qdrant.snapshots import create_snapshot, describe, recover
from tests.servers.qdrant.store import Store

_READ_BYTES: Final = 256 * 1024


class SnapshotApi:
    """Of one peer."""

    def __init__(self, store: Store, peer: int) -> None:
        self._store = store
        self._peer = peer
        self._background: set[asyncio.Task[Any]] = set()
        self._running_snapshots: dict[str, int] = {}
        self._running_recoveries: dict[str, int] = {}

    def routes(self) -> list[web.RouteDef]:
        one = "/collections/{collection}/snapshots"
        return [
            web.get(one, self._list_snapshots),
            web.post(one, self._create_snapshot),
            web.post(f"{one}/upload", self._upload),
            web.put(f"{one}/recover", self._recover),
            web.get(f"{one}/{{snapshot}}", self._download),
            web.delete(f"{one}/{{snapshot}}", self._delete_snapshot),
        ]

    def activity(self) -> list[dict[str, Any]]:
        """For the telemetry."""
        names = {*self._running_snapshots, *self._running_recoveries, *self._store.collections}
        found = [
            {
                "id": name,
                "running_snapshots": self._running_snapshots.get(name, 0),
                "running_snapshot_recovery": self._running_recoveries.get(name, 0),
            }
            for name in names
        ]
        for each in found:
            models.CollectionSnapshotTelemetry.model_validate(each)
        return found

    async def _list_snapshots(self, request: web.Request) -> web.Response:
        name = self._named(request, extras=True)
        directory = self._store.snapshots(self._peer, name)
        found = [describe(self._store, path) for path in sorted(directory.glob("*.snapshot"))]
        return ok(found, list[models.SnapshotDescription])

    async def _create_snapshot(self, request: web.Request) -> web.Response:
        name = self._named(request, write=True, extras=True)
        made = await self._time_or_accept(
            request, create_snapshot(self._store, self._peer, name), self._running_snapshots, name
        )
        return accepted() if made is None else ok(made, models.SnapshotDescription)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        path = self._snapshot(request)
        faults = self._store.faults
        if faults.lose_snapshots:
            path.unlink(missing_ok=True)
        if not path.exists():
            return web.Response(status=404, text="File not found: No such file or directory (os error 2)")
        answer = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
        answer.content_length = path.stat().st_size
        await answer.prepare(request)
        sent = 0
        with path.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                if faults.cut_downloads_at and sent + len(piece) >= faults.cut_downloads_at:
                    await answer.write(piece[: faults.cut_downloads_at - sent])
                    assert request.transport is not None
                    request.transport.abort()
                    break
                await answer.write(piece)
                sent += len(piece)
        return answer

    async def _delete_snapshot(self, request: web.Request) -> web.Response:
        path = self._snapshot(request, write=True)
        query_of(request, "wait")
        if self._store.faults.refuse_deletes:
            raise Failure(500, "Service internal error: Input/output error (os error 5)")
        if not path.exists():
            raise Failure(404, f"Not found: Snapshot {path.name!r}")
        path.unlink()
        path.with_name(f"{path.name}.checksum").unlink(missing_ok=True)
        return ok(True)

    async def _upload(self, request: web.Request) -> web.Response:
        request[ACCESS].require_global(manage=True)
        name = request.match_info["collection"]
        query = query_of(request, "wait", "priority", "checksum")
        if query.get("priority", "snapshot") not in {"snapshot", "replica", "no_sync"}:
            raise Failure(400, "Wrong input: unknown priority")
        path = await self._take_upload(request, name, query.get("checksum", ""))
        await self._time_or_accept(
            request, recover(self._store, self._peer, name, path), self._running_recoveries, name, "priority", "checksum"
        )
        return ok(True)

    async def _take_upload(self, request: web.Request, name: str, checksum: str) -> Path:
        """The file among the collection's snapshots, where it stays: so does the server."""
        digest = hashlib.sha256()
        with tempfile.NamedTemporaryFile(dir=self._store.temporary(self._peer), delete=False) as file:
            spooled = Path(file.name)
            try:
                file_name = await self._read_form(request, file, digest)
                _check_sum(digest.hexdigest(), checksum)
            except BaseException:
                spooled.unlink()
                raise
        directory = self._store.snapshots(self._peer, name)
        directory.mkdir(parents=True, exist_ok=True)
        return spooled.rename(directory / Path(file_name or "upload").name)

    async def _read_form(self, request: web.Request, file: IO[bytes], digest: hashlib._Hash) -> str | None:
        """The file's name.  Raises: Failure 400."""
        try:
            reader = await request.multipart()
            part = await reader.next()
            if not isinstance(part, BodyPartReader) or part.name != "snapshot":
                raise Failure(400, "Multipart form: field `snapshot` is missing")
            while piece := await part.read_chunk(_READ_BYTES):
                digest.update(piece)
                file.write(piece)
            if await reader.next() is not None:
                raise Failure(400, "Multipart form: more than one field")
        except (ValueError, AssertionError) as exc:
            raise Failure(400, f"Multipart form: {exc}") from exc
        return part.filename

    async def _recover(self, request: web.Request) -> web.Response:
        request[ACCESS].require_global(manage=True)
        name = request.match_info["collection"]
        wanted = await body_of(request, models.SnapshotRecover)
        location = urlparse(wanted["location"])
        with contextlib.ExitStack() as stack:
            if location.scheme == "file":
                path = Path(unquote(location.path))
            else:
                fetched = stack.enter_context(tempfile.NamedTemporaryFile(dir=self._store.temporary(self._peer)))
                asked = urllib.request.Request(  # noqa: S310 - a test's own URL
                    wanted["location"], headers={"api-key": wanted.get("api_key") or ""}
                )
                data = await asyncio.to_thread(lambda: urllib.request.urlopen(asked).read())  # noqa: S310
                fetched.write(data)
                fetched.flush()
                path = Path(fetched.name)
            if (digest := wanted.get("checksum")) and digest != hashlib.sha256(path.read_bytes()).hexdigest():
                raise Failure(400, "Wrong input: Snapshot checksum mismatch")
            await self._time_or_accept(request, recover(self._store, self._peer, name, path), self._running_recoveries, name)
        return ok(True)

    async def _time_or_accept(
        self,
        request: web.Request,
        work: Coroutine[Any, Any, Any],
        running: dict[str, int],
        name: str,
        *parameters: str,
    ) -> Any:
        """What the work gives, or None when nobody waits for it.  It ends in any case, as in the server."""

        async def counted() -> Any:
            running[name] = running.get(name, 0) + 1
            try:
                return await work
            finally:
                running[name] -= 1

        wait = query_of(request, "wait", *parameters).get("wait", "true") == "true"
        task = asyncio.create_task(counted())
        self._background.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task) if wait else None

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._background.discard(task)
        if not task.cancelled():
            task.exception()

    def _named(self, request: web.Request, *, write: bool = False, extras: bool = False) -> str:
        name = request.match_info["collection"]
        request[ACCESS].require(name, write=write, extras=extras)
        return self._store.resolve(name)

    def _snapshot(self, request: web.Request, *, write: bool = False) -> Path:
        name = self._named(request, write=write, extras=True)
        snapshot = request.match_info["snapshot"]
        if not snapshot or re.search(r"[/\\]|^\.\.?$", snapshot):
            raise Failure(400, "Wrong input: snapshot name")
        return self._store.snapshots(self._peer, name) / snapshot


def _check_sum(actual: str, stated: str) -> None:
    if stated and stated != actual:
        raise Failure(400, f"Checksum mismatch: expected {actual}, actual {stated}")
