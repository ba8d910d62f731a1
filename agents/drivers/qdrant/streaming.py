"""A snapshot into a name that is free, or into what this restore has made from other parts: streamed as it comes.

The server gets the end only when everything is authentic and the restore still wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from agents.drivers.pipes import PipeReader
from agents.drivers.qdrant.restore_work import RestoreWork
from agents.drivers.qdrant.snapshot_tar import SnapshotWalk
from agents.drivers.qdrant.uploading import Upload, ended, from_queue
from agents.processes import uncancelled
from contracts.errors import RunFailed, StrongroomError
from contracts.records import Attributes

log = structlog.get_logger()

_HELD_PIECES: Final = 4


class Streaming:
    """The parts of a `PipedRestore`; nothing is left of it outside of `room` without success."""

    def __init__(self, work: RestoreWork) -> None:
        self._work = work
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_HELD_PIECES)
        self._sending: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self._sending is not None:
                await uncancelled(ended(self._sending), name=f"restore:stop:{self._work.name}")

    async def consume(self, pipe: PipeReader) -> None:
        sending = asyncio.create_task(
            self._work.upload.send(from_queue(self._queue)), name=f"restore:upload:{self._work.name}"
        )
        self._sending = sending
        walk = SnapshotWalk()
        while data := await pipe.read():
            walk.feed(data)
            await self._put(sending, data)
        self._work.check_whole(walk)

    async def place(self) -> Attributes:
        return await uncancelled(self._place(), name=f"restore:place:{self._work.name}")

    async def _place(self) -> Attributes:
        assert self._sending is not None
        work = self._work
        if not work.further_part:
            await work.still_free()
        await self._put(self._sending, None)
        try:
            await self._sending
        except BaseException:
            if work.further_part or work.upload.met_another:
                await _remove_file(work.upload)
            else:
                await work.upload.undo()  # it did not exist before
            raise
        return await work.finished()

    async def _put(self, sending: asyncio.Task[None], piece: bytes | None) -> None:
        """Waits for room, or for the server's early refusal."""
        putting = asyncio.ensure_future(self._queue.put(piece))
        try:
            await asyncio.wait([putting, sending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not putting.done():
                putting.cancel()
        if sending.done() and piece is not None:
            sending.result()
            raise RunFailed("restore.failed", f"Qdrant at {self._work.node.url} answered before it had all of the snapshot")


async def _remove_file(upload: Upload) -> None:
    try:
        await upload.remove_file()
    except StrongroomError as exc:
        log.error("restore.left_behind", file=upload.file_name, collection=upload.collection, reason=exc.message)
