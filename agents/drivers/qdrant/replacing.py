"""A snapshot in the place of a collection, which goes only when the server is known to take what comes.

It is stored on this host first, and proven by a collection beside the other, of the same snapshot.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agents.drivers.pipes import PipeReader
from agents.drivers.qdrant.node import Node
from agents.drivers.qdrant.restore_work import RestoreWork
from agents.drivers.qdrant.snapshot_tar import SnapshotWalk
from agents.drivers.qdrant.uploading import Upload
from agents.drivers.unnamed_file import UnnamedFile
from agents.processes import uncancelled
from contracts.errors import RunFailed, StrongroomError
from contracts.records import Attributes


def proof_name(run_id: str, collection: str) -> str:
    """Of the collection beside it: a person knows by it what it is, and no two of a restore are the same."""
    return f"strongroom-restoring-{run_id}-{hashlib.sha256(collection.encode()).hexdigest()[:8]}"


class Replacing:
    """The parts of a `PipedRestore`; nothing is left of it outside of `room`."""

    def __init__(self, work: RestoreWork, run_id: str, work_dir: Path) -> None:
        self._work = work
        self._file = UnnamedFile(work_dir)
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
            self._file.close()

    async def consume(self, pipe: PipeReader) -> None:
        await self._store(pipe)
        self._proving = True
        await self._work.node.delete_collection(self._proof.collection)  # of an attempt that was killed
        await self._proof.send(self._file.pieces(), checksum=self._digest)
        self._proven_points = await self._work.node.count(self._proof.collection)

    async def _store(self, pipe: PipeReader) -> None:
        """Raises: Corrupt `artifact.corrupt`, RunFailed `spool.full`."""
        walk, digest = SnapshotWalk(), hashlib.sha256()
        try:
            self._file.require_room(self._work.artifact.plain_bytes)
            while data := await pipe.read():
                walk.feed(data)
                digest.update(data)
                await self._file.append(data)
        except RunFailed as exc:
            if exc.code != "spool.full":
                raise
            what = f"to replace collection {self._work.name!r}, its snapshot has to be stored on the agent's host first"
            hint = "under another name, with --rename, it can be restored without"
            raise RunFailed(exc.code, f"{what}: {exc.message}; {hint}", detail=exc.detail) from exc
        self._work.check_whole(walk)
        self._digest = digest.hexdigest()

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
            await work.upload.send(self._file.pieces(), checksum=self._digest)
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


async def _may_be_gone(node: Node, name: str) -> bool:
    try:
        return name not in await node.collections()
    except StrongroomError:
        return True
