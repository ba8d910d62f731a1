"""A snapshot in the place of a collection, which goes only when the server is known to take what comes.

It is stored on this host first, and proven by a collection beside the other, of the same snapshot.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO, Final

from agents.drivers.pipes import PipeReader
from agents.drivers.qdrant.node import Node
from agents.drivers.qdrant.restore_work import RestoreWork
from agents.drivers.qdrant.snapshot_tar import SnapshotWalk
from agents.drivers.qdrant.uploading import Upload
from agents.processes import uncancelled
from contracts.errors import RunFailed, StrongroomError
from contracts.records import Attributes

_READ_BYTES: Final = 1024 * 1024
_STALE_S: Final = 8 * 86_400.0


def proof_name(run_id: str, collection: str) -> str:
    """Of the collection beside it: a person knows by it what it is, and no two of a restore are the same."""
    return f"strongroom-restoring-{run_id}-{hashlib.sha256(collection.encode()).hexdigest()[:8]}"


class Replacing:
    """The parts of a `PipedRestore`; nothing is left of it outside of `room`."""

    def __init__(self, work: RestoreWork, run_id: str, work_dir: Path) -> None:
        self._work = work
        self._run_id = run_id
        self._path = work_dir / f"qdrant-restoring-{run_id}-{os.urandom(4).hex()}.snapshot"
        self._digest = ""
        self._proof = Upload(
            work.node, proof_name(run_id, work.name), work.upload.file_name, [int(shard) for shard in work.attributes.shards]
        )
        self._proving = False
        self._proven_points = 0
        self._keep_proof = False

    @asynccontextmanager
    async def room(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self._proving and not self._keep_proof:
                await uncancelled(self._proof.undo(), name=f"restore:undo:{self._proof.collection}")
            self._path.unlink(missing_ok=True)

    async def consume(self, pipe: PipeReader) -> None:
        await self._store(pipe)
        self._proving = True
        await self._work.node.delete_collection(self._proof.collection)  # of an attempt that was killed
        await self._proof.send(_read(self._path), checksum=self._digest)
        self._proven_points = await self._work.node.count(self._proof.collection)

    async def _store(self, pipe: PipeReader) -> None:
        """Raises: Corrupt `artifact.corrupt`, RunFailed `spool.full`."""
        _remove_stale(self._path.parent, self._run_id)
        free = shutil.disk_usage(self._path.parent).free
        if free < self._work.artifact.plain_bytes:
            raise self._no_room(f"{free} bytes are free")
        walk, digest = SnapshotWalk(), hashlib.sha256()
        with open(self._path, "xb", opener=_private) as file:  # noqa: ASYNC230 - written in threads
            while data := await pipe.read():
                walk.feed(data)
                await asyncio.to_thread(self._write, file, digest, data)
        self._work.check_whole(walk)
        self._digest = digest.hexdigest()

    def _write(self, file: BinaryIO, digest: hashlib._Hash, data: bytes) -> None:
        digest.update(data)
        try:
            file.write(data)
            file.flush()
        except OSError as exc:
            if exc.errno != errno.ENOSPC:
                raise
            raise self._no_room("the disk is full") from exc

    def _no_room(self, why: str) -> RunFailed:
        return RunFailed(
            "spool.full",
            f"to replace collection {self._work.name!r}, its snapshot of {self._work.artifact.plain_bytes} bytes has to be "
            f"stored below {self._path.parent}, and {why}: make room, or restore under another name with --rename",
        )

    async def place(self) -> Attributes:
        return await uncancelled(self._place(), name=f"restore:place:{self._work.name}")

    async def _place(self) -> Attributes:
        work = self._work
        aliases = [alias for alias, name in (await work.node.aliases()).items() if name == work.name]
        self._keep_proof = True  # as soon as the other is gone, it is all that there is
        try:
            await work.node.delete_collection(work.name)
        except StrongroomError:
            self._keep_proof = await _may_be_gone(work.node, work.name)
            raise
        try:
            await work.upload.send(_read(self._path), checksum=self._digest)
            if (points := await work.node.count(work.name)) != self._proven_points:
                raise RunFailed("restore.failed", f"it has {points} points, where the proof has {self._proven_points}")
            if aliases:  # they went with the collection
                await work.node.change_aliases(
                    [{"create_alias": {"alias_name": alias, "collection_name": work.name}} for alias in aliases]
                )
        except StrongroomError as exc:
            raise RunFailed(
                "restore.failed",
                f"collection {work.name!r} was removed, but the snapshot that Qdrant had just taken as "
                f"{self._proof.collection!r} was refused in its place: the data are whole in {self._proof.collection!r}; "
                "let clients use that, or remove what stands in the way and restore again",
                detail=exc.message,
            ) from exc
        self._keep_proof = False
        return await work.finished()


def _remove_stale(directory: Path, run_id: str) -> None:
    """What agents that were killed have left: of this restore, or so old that no restore can need it any more."""
    for path in directory.glob("qdrant-restoring-*.snapshot"):
        if run_id in path.name or path.stat().st_mtime < time.time() - _STALE_S:
            path.unlink(missing_ok=True)


async def _may_be_gone(node: Node, name: str) -> bool:
    try:
        return name not in await node.collections()
    except StrongroomError:
        return True


async def _read(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while data := await asyncio.to_thread(file.read, _READ_BYTES):
            yield data


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
