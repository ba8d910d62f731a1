"""A snapshot on its way into a node, and what became of it when the answer is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
import structlog

from agents.drivers.http_engine import EngineRefused
from agents.drivers.patience import patiently
from agents.drivers.qdrant.answers import ACTIVE
from agents.drivers.qdrant.making import ANSWER_S, LONGEST_S
from agents.drivers.qdrant.node import GATEWAY, Node, passes, words_of
from contracts.errors import RunFailed, StrongroomError

log = structlog.get_logger()

_FIRST_POLL_S: Final = 0.1
_LONGEST_POLL_S: Final = 5.0
_ANOTHER: Final = "not compatible with existing collection"
_SILENT_S: Final = 120.0
_PATIENCE_S: Final = 60.0
"""With a server that restarts, perhaps because of what it was sent."""
_LONGEST_UPLOAD_S: Final = 7 * 86_400.0
"""The store may be slow: bytes are sent as they come."""


class Upload:
    """One snapshot to be recovered by a node as a collection.  The file that the server keeps of it is `file_name`."""

    def __init__(self, node: Node, collection: str, file_name: str, shards: list[int]) -> None:
        self.node = node
        self.collection = collection
        self.file_name = file_name
        self._shards = shards
        """Those whose data are in it."""
        self.met_another = False
        """Whether the server refused it because of a collection that somebody has made in that very moment."""
        self.sent = False
        """Whether the server may have all of it."""

    async def send(self, pieces: AsyncIterator[bytes], *, checksum: str = "") -> None:
        """Returns when the collection is recovered.  Raises: RunFailed `restore.failed`, `engine.*`."""

        async def counted() -> AsyncIterator[bytes]:
            async for piece in pieces:
                yield piece
            self.sent = True

        body = aiohttp.MultipartWriter("form-data")
        part = body.append(counted(), {"Content-Type": "application/octet-stream"})
        part.set_content_disposition("form-data", name="snapshot", filename=self.file_name)
        try:
            await self.node.upload(self.collection, body, checksum=checksum, timeout_s=_LONGEST_UPLOAD_S)
        except EngineRefused as exc:
            if exc.status not in GATEWAY or not self.sent:
                raise self._refused(exc) from exc
        except RunFailed as exc:
            if exc.code != "engine.unreachable" or not self.sent:
                raise
        else:
            return
        log.info("qdrant.recovery_awaited", collection=self.collection, node=self.node.url, after_s=ANSWER_S)
        await self._await()

    async def _await(self) -> None:
        """The server goes on although nobody listens: returns when it has ended well.  Raises: RunFailed."""
        loop = asyncio.get_running_loop()
        deadline, heard_at, pause_s = loop.time() + LONGEST_S, loop.time(), _FIRST_POLL_S
        while loop.time() < deadline:
            try:
                activity = await self.node.activity(self.collection)
                is_there = await self._is_there()
            except RunFailed as exc:
                if loop.time() - heard_at > _SILENT_S:
                    raise
                log.debug("qdrant.recovery_unknown", collection=self.collection, reason=exc.message)
            else:
                heard_at = loop.time()
                if activity is None:
                    raise self._failed("a proxy cut off the answer, and the server tells nothing of what it is doing")
                if not activity.running_snapshot_recovery:
                    if is_there:
                        return
                    raise self._failed("the server gave up without an answer, its log says why")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, _LONGEST_POLL_S)
        raise self._failed(f"the server did not finish in {LONGEST_S / 3600:g} hours")

    async def _is_there(self) -> bool:
        try:
            view = await self.node.cluster(self.collection)
        except EngineRefused as exc:
            if exc.status == 404:
                return False
            raise
        whole = {shard.shard_id for shard in view.local_shards if shard.state == ACTIVE}
        return set(self._shards) <= whole

    async def remove_file(self) -> None:
        """Removes the server's copy of what was sent, which it keeps among the collection's snapshots.

        It can be reached only through a collection of that name, so that one is made where the recovery came to nothing.
        Raises: RunFailed.
        """
        if not self.sent:
            return
        made = False
        if self.collection not in await self.node.collections():
            await self.node.create_collection(self.collection)
            made = True
        try:
            await self.node.delete_snapshot(self.collection, self.file_name)
        finally:
            if made:
                await self.node.delete_collection(self.collection)

    async def undo(self) -> None:
        """No file of it and no collection, also when the server restarts meanwhile.  Logs what cannot be removed."""
        for remove in (self.remove_file, lambda: self.node.delete_collection(self.collection)):
            try:
                await patiently(remove, passes=passes, patience_s=_PATIENCE_S)
            except StrongroomError as exc:
                log.error("restore.left_behind", collection=self.collection, node=self.node.url, reason=exc.message)

    def _refused(self, exc: EngineRefused) -> RunFailed:
        if exc.code != "engine.refused":
            return exc
        words = words_of(exc)
        self.met_another = _ANOTHER in words
        hint = ": make room on that node's disk, it takes about three times the snapshot" if "No space left" in words else ""
        return self._failed(f"{words}{hint}")

    def _failed(self, why: str) -> RunFailed:
        return RunFailed(
            "restore.failed", f"Qdrant at {self.node.url} did not take the snapshot as collection {self.collection!r}: {why}"
        )


async def from_queue(queue: asyncio.Queue[bytes | None]) -> AsyncIterator[bytes]:
    """Until there is None."""
    while (piece := await queue.get()) is not None:
        yield piece


async def ended(task: asyncio.Task[None]) -> None:
    """Cancels it and waits for its end; how it ended was told elsewhere, or is of no interest."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
