"""A stream coming into its place, and the one that was there coming back when that fails.

Streams cannot be renamed, so nothing can be prepared beside the target and then be moved in.  What is unfinished bears a
mark in its metadata, by which the next attempt knows it, and takes no messages before it is whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog

from agents.drivers.nats.archive import Archive, Description, describe
from agents.drivers.nats.attributes import StreamAttributes
from agents.drivers.nats.comparing import compare
from agents.drivers.nats.configs import finished, unfinished
from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.dump import ARC_NAME, DESCRIPTION, TAR_NAME
from agents.drivers.nats.errors import ApiRefused, restore_refused
from agents.drivers.nats.s2_frames import NATSARC, FrameWalker
from agents.drivers.nats.session import Session, open_session
from agents.drivers.nats.snapshot import open_snapshot
from agents.drivers.nats.streams import StreamInfo, delete_stream, delete_unfinished, look_at_stream
from agents.drivers.nats.upload import make_stream
from agents.drivers.patience import patiently
from contracts.errors import Conflict, RunFailed, StrongroomError

log = structlog.get_logger()

_METADATA_SINCE: Final = (2, 10)
_PATIENCE_S: Final = 60.0
"""With a server that restarts while what was begun has to be undone."""


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
                return await self._exchange(session, existing, old)
            finally:
                old.close()

    async def _exchange(self, session: Session, existing: StreamInfo, old: Archive) -> StreamInfo:
        log.info("restore.replacing", stream=existing.name)
        try:
            await delete_stream(session, existing.name)  # whose answer may be lost: it has gone then, or not
            restored = await self._make(session)
        except Exception as exc:
            await self._put_back(existing, old, exc)
            if not isinstance(exc, StrongroomError):
                raise
            what = f"{exc.message}; the stream that was there is there again"
            raise RunFailed(exc.code, what, detail=exc.detail) from exc
        self.replaced = True
        return restored

    async def _make(self, session: Session) -> StreamInfo:
        """Raises: RunFailed; nothing of the stream is left then."""
        wanted = self._wanted
        can_mark = session.version_pair >= _METADATA_SINCE
        made = False
        try:
            config = unfinished(wanted.config, wanted.run_id) if can_mark else wanted.config
            description = wanted.archive.description
            self.warnings += await make_stream(session, config, description.raw_state, wanted.archive.file)
            made = True
            restored = await _require(session, wanted.name)
            growing = restored.is_fed or not can_mark
            self.warnings += compare(restored, description, wanted.facts, growing=growing)
            await _patiently(self._finish)
            return restored
        except Exception as exc:
            if can_mark:
                await _clean_up(
                    self._connection, wanted.name, lambda session: delete_unfinished(session, wanted.name, wanted.run_id)
                )
            elif made:  # what an old server refused it has not made: a stream of that name is somebody else's
                await _clean_up(self._connection, wanted.name, lambda session: delete_stream(session, wanted.name))
            if isinstance(exc, ApiRefused):
                raise restore_refused(exc, wanted.name) from exc
            raise

    async def _finish(self) -> None:
        """The stream takes messages from now on; may be repeated when the answer was lost."""
        async with open_session(self._connection) as session:
            made = await _require(session, self._wanted.name)
            if made.is_unfinished:
                doing = f"finishing the restore of stream {made.name!r}"
                await session.ask(f"STREAM.UPDATE.{made.name}", finished(made.config, self._wanted.config), doing=doing)

    async def _put_back(self, existing: StreamInfo, old: Archive, reason: Exception) -> None:
        name = existing.name
        put_back = Placing(
            self._connection,
            self._work_dir,
            Placement(config=old.description.config, archive=old, facts=None, run_id=self._wanted.run_id),
        )

        async def put() -> None:
            async with open_session(self._connection) as session:
                found = await look_at_stream(session, name)
            if found is None or found.created != existing.created:
                await put_back.place()

        try:
            await _patiently(put)
        except StrongroomError as exc:
            saved = self._work_dir / f"saved-stream-{self._wanted.run_id}"
            what = f"stream {name!r} is gone: the restore failed ({reason}), and the stream that was there could not "
            what += f"be put back ({exc.message})"
            try:
                await _save(old, saved)
            except OSError as lost:
                what += f", nor be saved in {saved} on the agent's host ({lost.strerror}): restore its latest backup"
            else:
                what += f"; it lies in {saved} on the agent's host: put it back with `nats stream restore {saved}`"
            log.error("restore.left_behind", stream=name, saved=str(saved), code=exc.code, reason=exc.message)
            raise RunFailed("restore.failed", what, detail=exc.detail) from exc


def not_empty(name: str) -> Conflict:
    what = f"there is a stream {name!r} already"
    return Conflict(
        "restore.target_not_empty", f"{what}: restore with --replace to lose it, or under another name with --rename"
    )


async def _clean_up(connection: NATSConnection, name: str, remove: Callable[[Session], Awaitable[object]]) -> None:
    """Says so in the log when even that fails."""

    async def try_to() -> None:
        async with open_session(connection) as session:
            await remove(session)

    try:
        await _patiently(try_to)
    except StrongroomError as exc:
        log.error("restore.left_behind", stream=name, code=exc.code, reason=exc.message)


async def try_out(session: Session, connection: NATSConnection, wanted: Placement) -> None:
    """Makes a stream of the archive beside all others, and deletes it again.  Raises: RunFailed."""
    await delete_stream(session, wanted.name)  # of an attempt that was killed
    try:
        description = wanted.archive.description
        config = unfinished(wanted.config, wanted.run_id)
        await make_stream(session, config, description.raw_state, wanted.archive.file)
        compare(await _require(session, wanted.name), description, None)
    finally:
        await _clean_up(connection, wanted.name, lambda session: delete_stream(session, wanted.name))


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


async def _require(session: Session, name: str) -> StreamInfo:
    found = await look_at_stream(session, name)
    if found is None:
        raise RunFailed("restore.failed", f"NATS said that stream {name!r} was restored, but there is none")
    return found


async def _patiently(work: Callable[[], Awaitable[None]]) -> None:
    def passes(exc: RunFailed) -> bool:
        return exc.code in ("engine.unreachable", "engine.degraded")

    await patiently(work, passes=passes, patience_s=_PATIENCE_S)


async def _save(old: Archive, directory: Path) -> None:
    """In the layout of `nats stream backup`.  Raises: OSError."""
    await asyncio.to_thread(directory.mkdir, mode=0o700, exist_ok=True)
    description: Description = old.description
    written = msgspec.json.encode({"config": description.config, "state": description.raw_state})
    await asyncio.to_thread((directory / DESCRIPTION).write_bytes, msgspec.json.format(written, indent=2))
    path = directory / (ARC_NAME if old.format == NATSARC else TAR_NAME)
    with path.open("wb") as file:
        async for piece in old.file.pieces():
            await asyncio.to_thread(file.write, piece)
