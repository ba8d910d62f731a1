"""A snapshot on a node, from its making to its end.

The server makes it to its end whoever asked is gone or not, and proxies before it may not wait as long: then the list of
snapshots and the server's telemetry tell what became of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from agents.drivers.http_engine import EngineRefused
from agents.drivers.qdrant.answers import Snapshot
from agents.drivers.qdrant.leftovers import Leftover, note_snapshot
from agents.drivers.qdrant.node import Node, passes, words_of
from agents.processes import uncancelled
from contracts.errors import RunFailed, StrongroomError

log = structlog.get_logger()

ANSWER_S: Final = 300.0
"""How long an answer is waited for before we look for ourselves."""
LONGEST_S: Final = 12 * 3600.0
_CLEANUP_S: Final = 30.0
_SILENT_S: Final = 60.0
_FIRST_POLL_S: Final = 0.1
_LONGEST_POLL_S: Final = 5.0
_NEXT_SECOND_S: Final = 1.1
_COLLISIONS: Final = 10


class MadeSnapshot:
    """On its node until the context is left."""

    def __init__(self, node: Node, leftover: Leftover, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.warnings: list[str] = []
        self.leftover = leftover
        self._node = node

    async def remove(self) -> None:
        """Never raises for what the node answers: what cannot be removed stays noted, and becomes a warning."""
        try:
            await self._node.delete_snapshot(self.leftover.collection, self.snapshot.name)
        except StrongroomError as exc:
            if isinstance(exc, EngineRefused) and exc.status == 404:
                self.leftover.gone()
                return
            log.warning("qdrant.snapshot_left", snapshot=self.snapshot.name, node=self._node.url, reason=exc.message)
            self.warnings.append(
                f"the snapshot {self.snapshot.name} of collection {self.leftover.collection!r} could not be removed from "
                f"{self._node.url} and takes room there until the next run removes it: {exc.message}"
            )
        else:
            self.leftover.gone()


@asynccontextmanager
async def made_snapshot(node: Node, collection: str, work_dir: Path) -> AsyncIterator[MadeSnapshot]:
    """A snapshot of the node's shards of a collection; leaving removes it from the node, also when cancelled.

    Raises: RunFailed `dump.failed` with the server's own words, `engine.*`.
    """
    made = await _make(node, collection, work_dir)
    try:
        yield made
    finally:
        try:
            await uncancelled(made.remove(), name=f"remove:{made.snapshot.name}")
        finally:
            made.leftover.release()


async def _make(node: Node, collection: str, work_dir: Path) -> MadeSnapshot:
    for _ in range(_COLLISIONS):
        try:
            known = {each.name for each in await node.snapshots(collection)}
        except EngineRefused as exc:
            raise _refused(node, collection, exc) from exc
        leftover = note_snapshot(work_dir, node.url, collection, known=known)
        leftover.claim()
        try:
            snapshot = await _ask(node, collection, leftover)
        except BaseException as exc:
            if isinstance(exc, EngineRefused):
                leftover.gone()  # refused: there is none
                raise _refused(node, collection, exc) from exc
            try:
                await uncancelled(_remove_unnamed(node, leftover), name=f"remove:{collection}")
            finally:
                leftover.release()
            raise
        if snapshot.name not in known:
            leftover.named(snapshot.name)
            return MadeSnapshot(node, leftover, snapshot)
        # Named by the second: somebody else made one in the same, and it is theirs to remove.
        leftover.gone()
        await asyncio.sleep(_NEXT_SECOND_S)
    raise RunFailed(
        "dump.failed",
        f"{node.url} gives every new snapshot of collection {collection!r} the name of one that is there already: "
        "somebody else makes them all the time, or the node's clock stands still",
    )


async def _ask(node: Node, collection: str, leftover: Leftover) -> Snapshot:
    try:
        return await node.create_snapshot(collection, timeout_s=ANSWER_S)
    except RunFailed as exc:
        if not passes(exc):
            raise
    log.info("qdrant.snapshot_awaited", collection=collection, node=node.url)
    return await _await(node, collection, leftover)


async def _await(node: Node, collection: str, leftover: Leftover) -> Snapshot:
    """The snapshot, when it appears in the list, which it does as a whole.  Raises: RunFailed `dump.failed`, `engine.*`."""
    loop = asyncio.get_running_loop()
    deadline, heard_at, pause_s = loop.time() + LONGEST_S, loop.time(), _FIRST_POLL_S
    while loop.time() < deadline:
        try:
            activity = await node.activity(collection)  # first: what ends after it is in the list below
            found = leftover.ours_among(await node.snapshots(collection))
        except RunFailed as exc:
            if not passes(exc) or loop.time() - heard_at > _SILENT_S:
                # Not a refusal of the snapshot, which may well be there in a while.
                raise RunFailed(exc.code, exc.message, detail=exc.detail) from exc
            await asyncio.sleep(pause_s)
            continue
        heard_at = loop.time()
        if len(found) == 1:
            return found[0]
        if len(found) > 1:
            raise RunFailed(
                "dump.failed",
                f"others made snapshots of collection {collection!r} on {node.url} at the same time, and the answer that "
                f"would have told which is ours was lost: {', '.join(each.name for each in found)}",
            )
        if activity is not None and not activity.running_snapshots:
            raise RunFailed(
                "dump.failed",
                f"{node.url} stopped making the snapshot of collection {collection!r} without an answer: its log says why "
                "(often there is no room left on its disk, or it was restarted)",
            )
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_POLL_S)
    hours = LONGEST_S / 3600
    raise RunFailed("dump.failed", f"{node.url} did not finish a snapshot of collection {collection!r} in {hours:g} hours")


async def _remove_unnamed(node: Node, leftover: Leftover) -> None:
    """Waits a little for what the server is still making, and removes it; otherwise the next run does."""
    try:
        async with asyncio.timeout(_CLEANUP_S):
            await _remove_when_made(node, leftover)
    except (StrongroomError, TimeoutError) as exc:
        log.warning("qdrant.snapshot_left", collection=leftover.collection, node=node.url, reason=str(exc) or "not made yet")


async def _remove_when_made(node: Node, leftover: Leftover) -> None:
    while True:
        activity = await node.activity(leftover.collection)
        found = leftover.ours_among(await node.snapshots(leftover.collection))
        if len(found) == 1:
            leftover.named(found[0].name)
            await node.delete_snapshot(leftover.collection, found[0].name)
            leftover.gone()
            return
        if len(found) > 1:
            return
        if activity is not None and not activity.running_snapshots:
            leftover.gone()
            return
        await asyncio.sleep(_FIRST_POLL_S)


def _refused(node: Node, collection: str, exc: EngineRefused) -> RunFailed:
    words = words_of(exc)
    where = f"Qdrant at {node.url}"
    if exc.code == "engine.auth_failed":
        return exc
    if exc.code == "engine.permission":
        return RunFailed(
            exc.code,
            f"the API key may not make snapshots of collection {collection!r} on {where}: give the service one that may "
            "(access `rw` to the collection, or `m`), see deploy/qdrant; a read-only key is not enough",
            detail=words,
        )
    if exc.status == 404:
        return RunFailed(
            "dump.failed", f"collection {collection!r} has gone from {where} since the backup began", detail=words
        )
    hint = ""
    if "No space left" in words or exc.status == 507:
        hint = "; a snapshot takes about twice the collection's size on that node for a while: make room there"
    return RunFailed("dump.failed", f"{where} could not make a snapshot of collection {collection!r}: {words}{hint}")
