"""An artifact as the coordinator itself reads it: as it is stored, or opened, piece by piece, in bounded memory.

An object that is opened goes through one pipe to a thread that decrypts and decompresses, and the dump through another one
back.  Whatever comes out is only worth something when the generator has ended without an error: `copies`.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import Final

from contracts.age import Identity
from contracts.records import ArtifactRecord, BackupRecord
from contracts.tasks import cancel_surely
from daemon.artifacts.byte_pipe import BytePipe, ReturnPipe
from daemon.artifacts.copies import PlainCopy, corrupt
from daemon.artifacts.pieces import object_pieces
from daemon.keys.custody import Custody
from daemon.store.s3 import ObjectStore

_FEED_BYTES: Final = 256 * 1024
_PIECES: Final = 4
"""Of up to 1 MiB each (`copies`): what the thread may be ahead of the reader."""


async def native_pieces(
    store: ObjectStore, custody: Custody, executor: Executor, backup: BackupRecord, artifact: ArtifactRecord
) -> AsyncGenerator[bytes, None]:
    """The native dump.  A thread of the executor is taken until the generator is closed.

    Raises: Denied `key.unavailable`, Corrupt `artifact.corrupt`, `store.missing`, Unavailable `store.unavailable`.
    """
    # A reader of its own, as everybody else who opens an artifact: the project's identity stays in `custody`.
    reader = Identity.generate()
    header, offset = await custody.reseal(backup.project, backup.key_id, artifact.object_key, reader.recipient)
    copy = PlainCopy(artifact, reader, header, offset)
    stored, native = BytePipe(), ReturnPipe(_PIECES)

    def work() -> None:
        try:
            copy.write(stored, native.put)
        finally:
            native.close()

    feeding = asyncio.create_task(_feed(store, artifact, stored), name="content:feed")
    working = asyncio.get_running_loop().run_in_executor(executor, work)
    # Once both pipes are cancelled the thread ends by itself, for a reason that nobody asks for.
    working.add_done_callback(lambda ended: None if ended.cancelled() else ended.exception())
    try:
        while (piece := await native.get()) is not None:
            yield piece
        if feeding.done():
            feeding.result()  # a feeder that failed knows better why the thread has ended
        await working
    finally:
        stored.cancel()
        native.cancel()
        await cancel_surely(feeding)


async def _feed(store: ObjectStore, artifact: ArtifactRecord, stored: BytePipe) -> None:
    try:
        async with aclosing(object_pieces(store, artifact.object_key, 0, artifact.stored_bytes)) as pieces:
            async for piece in pieces:
                for at in range(0, len(piece), _FEED_BYTES):
                    await stored.put(piece[at : at + _FEED_BYTES])
    except BaseException:
        stored.cancel()
        raise
    stored.close()


async def age_pieces(store: ObjectStore, artifact: ArtifactRecord, first: int, end: int) -> AsyncGenerator[bytes, None]:
    """The object as it is stored, from `first` on, before `end`.  If that is all of it, it has its record's digest.

    Raises: Corrupt `artifact.corrupt`, `store.missing`, Unavailable `store.unavailable`.
    """
    whole = first == 0 and end == artifact.stored_bytes
    digest = hashlib.sha256()
    async with aclosing(object_pieces(store, artifact.object_key, first, end)) as pieces:
        async for piece in pieces:
            if whole:
                await asyncio.to_thread(digest.update, piece)
            yield piece
    if whole and digest.hexdigest() != artifact.sha256:
        raise corrupt(artifact, "its SHA-256 is not the one of its record")
