"""One stream's artifact: a tar archive of `backup.json` and the snapshot, in numbered parts since its size is unknown.

    server ─▶ snapshot ─▶ segments (memory, disk) ─▶ members ─▶ pipe

Put together, the parts are what `nats stream backup` makes: `stream.arc.s2` of nats-server 2.15 and later,
`stream.tar.s2` of older ones.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import msgspec

from agents.drivers.base import DumpSource
from agents.drivers.members import MemberWriter
from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.s2_frames import NATSARC, FrameWalker
from agents.drivers.nats.session import open_session
from agents.drivers.nats.snapshot import Snapshot, open_snapshot
from agents.drivers.nats.spool import SegmentSpool
from agents.drivers.nats.streams import StreamState
from agents.drivers.pipes import PipeWriter, piped_dump
from agents.processes import uncancelled
from contracts.errors import RunFailed

DESCRIPTION: Final = "backup.json"
PART_BYTES: Final = 8 * 1024 * 1024
ARC_NAME: Final = "stream.arc.s2"
TAR_NAME: Final = "stream.tar.s2"


def start_dump(
    connection: NATSConnection, stream: str, work_dir: Path, *, consumers: bool, taken: dict[str, StreamState]
) -> AbstractAsyncContextManager[DumpSource]:
    """The dump of one stream; when it is whole, `taken` has the state that it holds."""

    async def produce(pipe: PipeWriter) -> list[str]:
        async with open_session(connection) as session, open_snapshot(session, stream, consumers=consumers) as snapshot:
            await _pass_on(snapshot, stream, pipe, work_dir)
            taken[stream] = snapshot.state
        return []

    return piped_dump(produce, name=stream)


def part_name(archive: str, number: int) -> str:
    """Sorted by name they are in order: `stream.arc.s2.000001`."""
    return f"{ARC_NAME if archive == NATSARC else TAR_NAME}.{number:06d}"


async def _pass_on(snapshot: Snapshot, stream: str, pipe: PipeWriter, work_dir: Path) -> None:
    spool = SegmentSpool(work_dir)
    frames = FrameWalker()
    receiving = asyncio.create_task(_receive(snapshot, stream, spool, frames), name=f"dump:{stream}:receive")
    try:
        members = MemberWriter(pipe)
        description = msgspec.json.format(msgspec.json.encode(snapshot.description), indent=2)
        await members.add(DESCRIPTION, description)
        number = 0
        while (segment := await spool.take()) is not None:
            number += 1
            await members.add(part_name(frames.archive, number), segment)
        await receiving
        await members.end()
    finally:
        receiving.cancel()
        await uncancelled(_ended(receiving), name=f"dump:{stream}:end")
        spool.close()


async def _receive(snapshot: Snapshot, stream: str, spool: SegmentSpool, frames: FrameWalker) -> None:
    """Raises: RunFailed; the queue has ended then, too."""
    try:
        collected = bytearray()
        async for chunk in snapshot.chunks():
            try:
                frames.feed(chunk)
            except ValueError as exc:
                raise RunFailed("dump.incomplete", f"the snapshot of stream {stream!r} is no archive: {exc}") from exc
            collected += chunk
            if len(collected) >= PART_BYTES:
                await spool.put(collected)
                collected = bytearray()
        if not frames.is_whole:
            raise RunFailed("dump.incomplete", f"the snapshot of stream {stream!r} ends in the middle: see the server's log")
        if collected:
            await spool.put(collected)
    finally:
        spool.end()


async def _ended(task: asyncio.Task[None]) -> None:
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # raised already, or of no interest beside what ended the dump
