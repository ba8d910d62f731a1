"""Disk for what must not wait: a snapshot that its server aborts after 5 s without an answer, an archive to be sent later.

All in files that no directory lists: what is not needed any more is free again at once, and nothing outlives the agent.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from agents.datapath.spool import open_unnamed
from contracts.errors import RunFailed

RESERVE_BYTES: Final = 256 * 1024 * 1024
"""What is left free on the disk in any case: others need some, too."""
_READ_BYTES: Final = 4 * 1024 * 1024


class SegmentSpool:
    """Between a server that cannot wait and a store that makes wait: a queue of segments, first in, first out.

    One segment waits in memory and all others on disk, in a file each, which goes when it was taken.  So the memory held
    does not depend on how slow the store is, and the disk is at most what the snapshot has.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting: deque[bytes | bytearray | int] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self.on_disk_bytes = 0
        """At the moment."""

    async def put(self, segment: bytes | bytearray) -> None:
        """Raises: RunFailed `spool.full`, `agent.internal`."""
        if not self._waiting:
            self._waiting.append(segment)
        else:
            fd = await asyncio.to_thread(_write_segment, self._directory, segment)
            self.on_disk_bytes += len(segment)
            self._waiting.append(fd)
        self._changed.set()

    def end(self) -> None:
        """There will be no more."""
        self._ended = True
        self._changed.set()

    async def take(self) -> bytes | bytearray | None:
        """The next segment, when there is one; None at the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        segment = self._waiting.popleft()
        if not isinstance(segment, int):
            return segment
        try:
            data = await asyncio.to_thread(_read_segment, segment)
        finally:
            os.close(segment)
        self.on_disk_bytes -= len(data)
        return data

    def close(self) -> None:
        for segment in self._waiting:
            if isinstance(segment, int):
                os.close(segment)
        self._waiting.clear()


class SpooledFile:
    """One file on disk, written once and read as often as needed."""

    def __init__(self, directory: Path) -> None:
        """Raises: RunFailed `agent.internal` when there can be no file."""
        self._directory = directory
        self.size_bytes = 0
        try:
            self._fd = open_unnamed(directory)
        except OSError as exc:
            raise _failed(directory, exc) from exc

    async def append(self, data: bytes) -> None:
        """Raises: RunFailed `spool.full`, `agent.internal`."""
        await asyncio.to_thread(self._append, data)

    def _append(self, data: bytes) -> None:
        _require_room(self._directory, len(data))
        try:
            _write_all(self._fd, data)
        except OSError as exc:
            raise _failed(self._directory, exc) from exc
        self.size_bytes += len(data)

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, from the beginning."""
        offset = 0
        while data := await asyncio.to_thread(os.pread, self._fd, _READ_BYTES, offset):
            offset += len(data)
            yield data

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write_segment(directory: Path, segment: bytes | bytearray) -> int:
    _require_room(directory, len(segment))
    try:
        fd = open_unnamed(directory)
        try:
            _write_all(fd, segment)
        except BaseException:
            os.close(fd)
            raise
    except OSError as exc:
        raise _failed(directory, exc) from exc
    return fd


def _read_segment(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    parts: list[bytes] = []
    offset = 0
    while offset < size and (data := os.pread(fd, size - offset, offset)):
        parts.append(data)
        offset += len(data)
    return b"".join(parts)


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _require_room(directory: Path, size_bytes: int) -> None:
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    if free - size_bytes < RESERVE_BYTES:
        raise RunFailed(
            "spool.full",
            f"the agent's work directory {directory} has only {free // (1024 * 1024)} MiB left, of which "
            f"{RESERVE_BYTES // (1024 * 1024)} MiB are not touched: make room there, or set work_dir to a larger disk",
        )


def _failed(directory: Path, exc: OSError) -> RunFailed:
    if exc.errno in _NO_ROOM:
        what = f"the agent's work directory {directory} has no room left: make room there, or set work_dir to a larger disk"
        return RunFailed("spool.full", what, detail=exc.strerror)
    return RunFailed("agent.internal", f"the agent's work directory {directory} fails: {exc.strerror}", detail=str(exc))


_NO_ROOM: Final = frozenset({28, 122, 27})
"""ENOSPC, EDQUOT, EFBIG."""
