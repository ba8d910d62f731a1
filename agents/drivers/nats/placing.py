"""A stream coming into its place, and the one that was there coming back when that fails.

Streams cannot be renamed, so nothing can be prepared beside the target and then be moved in.  What is unfinished bears a
mark in its metadata, by which the next attempt knows it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from agents.drivers.nats.archive import Archive, Description, describe
from agents.drivers.nats.attributes import StreamAttributes
from agents.drivers.nats.comparing import compare
from agents.drivers.nats.configs import marked, unmarked
from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.dump import ARC_NAME, DESCRIPTION, TAR_NAME
from agents.drivers.nats.errors import ApiRefused, restore_refused
from agents.drivers.nats.s2_frames import NATSARC, FrameWalker
from agents.drivers.nats.session import Session, open_session
from agents.drivers.nats.snapshot import open_snapshot
from agents.drivers.nats.streams import StreamInfo, delete_stream, look_at_stream
from agents.drivers.nats.upload import make_stream
from contracts.errors import Conflict, RunFailed, StrongroomError

log = structlog.get_logger()

_METADATA_SINCE: Final = (2, 10)
_PATIENCE_S: Final = 60.0
"""With a server that restarts while what was begun has to be undone."""
_RETRY_WAIT_S: Final = 1.0


@dataclass(frozen=True, kw_only=True)
class Placement:
    """What is to be put where."""

    config: dict[str, Any]
    archive: Archive
    facts: StreamAttributes | None
    run_id: str
    replace: bool = False

    @property
    def name(self) -> str:
        return str(self.config["name"])


class Placing:
    """One stream's way into its place."""

    def __init__(self, connection: NATSConnection, work_dir: Path, wanted: Placement) -> None:
        self._connection = connection
        self._work_dir = work_dir
        self._wanted = wanted
        self.replaced = False
        self.warnings: list[str] = []

    async def place(self) -> StreamInfo:
        """The stream, whole.  Raises: RunFailed; the target is then as it was, or the error says what is where."""
        wanted = self._wanted
        async with open_session(self._connection) as session:
            existing = await look_at_stream(session, wanted.name)
            if existing is None or existing.is_unfinished:
                if existing is not None:
                    await delete_stream(session, wanted.name)
                return await self._make(session)
            if not wanted.replace:
                raise not_empty(wanted.name)
            old = Archive(self._work_dir)
            try:
                await _keep(session, existing, old)
                return await self._exchange(session, old)
            finally:
                old.close()

    async def _exchange(self, session: Session, old: Archive) -> StreamInfo:
        name = self._wanted.name
        await delete_stream(session, name)
        self.replaced = True
        log.info("restore.replacing", stream=name)
        try:
            return await self._make(session)
        except Exception as exc:
            self.replaced = False
            await self._put_back(old, exc)
            if not isinstance(exc, StrongroomError):
                raise
            what = f"{exc.message}; the stream that was there is there again"
            raise RunFailed(exc.code, what, detail=exc.detail) from exc

    async def _make(self, session: Session) -> StreamInfo:
        """Raises: RunFailed; nothing of the stream is left then."""
        wanted = self._wanted
        try:
            config = wanted.config
            if session.version_pair >= _METADATA_SINCE:
                config = marked(config, wanted.run_id)
            description = wanted.archive.description
            self.warnings += await make_stream(session, config, description.raw_state, wanted.archive.file)
            restored = await _require(session, wanted.name)
            self.warnings += compare(restored, description, wanted.facts)
            await _finish(session, restored)
            return restored
        except Exception as exc:
            await remove_unfinished(self._connection, wanted.name)
            if isinstance(exc, ApiRefused):
                raise restore_refused(exc, wanted.name) from exc
            raise

    async def _put_back(self, old: Archive, reason: Exception) -> None:
        name = self._wanted.name
        put_back = Placing(
            self._connection,
            self._work_dir,
            Placement(config=old.description.config, archive=old, facts=None, run_id=self._wanted.run_id),
        )
        try:
            await _patiently(put_back.place)
        except StrongroomError as exc:
            saved = await _save(old, self._work_dir / f"saved-stream-{self._wanted.run_id}")
            log.error("restore.left_behind", stream=name, saved=str(saved), code=exc.code, reason=exc.message)
            raise RunFailed(
                "restore.failed",
                f"stream {name!r} is gone: the restore failed ({reason}), and the stream that was there could not "
                f"be put back ({exc.message}); it lies in {saved} on the agent's host: "
                f"put it back with `nats stream restore {saved}`",
                detail=exc.detail,
            ) from exc


def not_empty(name: str) -> Conflict:
    what = f"there is a stream {name!r} already"
    return Conflict(
        "restore.target_not_empty", f"{what}: restore with --replace to lose it, or under another name with --rename"
    )


async def remove_unfinished(connection: NATSConnection, name: str) -> None:
    """Deletes what is left of a stream that could not be restored; says so in the log when even that fails."""

    async def remove() -> None:
        async with open_session(connection) as session:
            await delete_stream(session, name)

    try:
        await _patiently(remove)
    except StrongroomError as exc:
        log.error("restore.left_behind", stream=name, code=exc.code, reason=exc.message)


async def try_out(session: Session, connection: NATSConnection, wanted: Placement) -> None:
    """Makes a stream of the archive beside all others, and deletes it again.  Raises: RunFailed."""
    await delete_stream(session, wanted.name)  # of an attempt that was killed
    try:
        description = wanted.archive.description
        config = marked(wanted.config, wanted.run_id)
        await make_stream(session, config, description.raw_state, wanted.archive.file)
        compare(await _require(session, wanted.name), description, None)
    finally:
        await remove_unfinished(connection, wanted.name)


async def _keep(session: Session, existing: StreamInfo, old: Archive) -> None:
    """A snapshot of the stream that has to make way, in case it has to come back."""
    frames = FrameWalker()
    async with open_snapshot(session, existing.name, consumers=True) as snapshot:
        async for chunk in snapshot.chunks():
            frames.feed(chunk)
            await old.file.append(chunk)
        if not frames.is_whole:
            raise RunFailed(
                "restore.failed", f"stream {existing.name!r} could not be kept while it is replaced: no snapshot"
            )
        old.format = frames.archive
        old.describe(describe(snapshot.description))


async def _finish(session: Session, restored: StreamInfo) -> None:
    if restored.is_unfinished:
        doing = f"taking the mark of the restore from stream {restored.name!r}"
        await session.ask(f"STREAM.UPDATE.{restored.name}", unmarked(restored.config), doing=doing)


async def _require(session: Session, name: str) -> StreamInfo:
    found = await look_at_stream(session, name)
    if found is None:
        raise RunFailed("restore.failed", f"NATS said that stream {name!r} was restored, but there is none")
    return found


async def _patiently(work: Any) -> None:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    while True:
        try:
            await work()
            return
        except RunFailed as exc:
            if exc.code not in ("engine.unreachable", "engine.degraded") or asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(_RETRY_WAIT_S)


async def _save(old: Archive, directory: Path) -> Path:
    """In the layout of `nats stream backup`."""
    await asyncio.to_thread(directory.mkdir, mode=0o700, exist_ok=True)
    description: Description = old.description
    written = msgspec.json.encode({"config": description.config, "state": description.raw_state})
    await asyncio.to_thread((directory / DESCRIPTION).write_bytes, msgspec.json.format(written, indent=2))
    path = directory / (ARC_NAME if old.format == NATSARC else TAR_NAME)
    with path.open("wb") as file:
        async for piece in old.file.pieces():
            await asyncio.to_thread(file.write, piece)
    return directory
