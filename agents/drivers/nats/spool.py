"""Disk for what must not wait: a snapshot that its server aborts after 5 s without an answer."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

from agents.drivers.unnamed_file import UnnamedFile


class SegmentSpool:
    """Between a server that cannot wait and a store that makes wait: a queue of segments, first in, first out.

    One segment waits in memory and all others on disk, in a file each, which goes when it was taken.  So the memory held
    does not depend on how slow the store is, and the disk is at most what the snapshot has.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting: deque[bytes | bytearray | UnnamedFile] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    async def put(self, segment: bytes | bytearray) -> None:
        """Raises: RunFailed `spool.full`, `agent.internal`."""
        if not self._waiting:
            self._waiting.append(segment)
        else:
            file = UnnamedFile(self._directory)
            try:
                await file.append(segment)
            except BaseException:
                file.close()
                raise
            self._waiting.append(file)
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
        if not isinstance(segment, UnnamedFile):
            return segment
        try:
            return b"".join([piece async for piece in segment.pieces()])
        finally:
            segment.close()

    def close(self) -> None:
        for segment in self._waiting:
            if isinstance(segment, UnnamedFile):
                segment.close()
        self._waiting.clear()
