"""Bytes on their way from the event loop to a worker thread, a bounded number of chunks at a time."""

from __future__ import annotations

import asyncio
import queue
from typing import Final

_CHUNKS: Final = 16
"""Of up to 1 MiB each (`object_reader`), mostly less: what the network may be ahead of the disk."""


class PipeCancelled(Exception):
    """The other side has given up; there is a better reason elsewhere."""


class BytePipe:
    """Written to by tasks of the loop it was made in, read by one thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = asyncio.Semaphore(_CHUNKS)
        # Never full: a slot is taken before a chunk is put, so the event loop does not block.
        self._chunks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._cancelled = False

    async def put(self, data: bytes) -> None:
        """Waits while the thread is behind."""
        await self._slots.acquire()
        self._chunks.put(data)

    def close(self) -> None:
        """No more will come."""
        self._chunks.put(None)

    def cancel(self) -> None:
        """Whoever reads gets PipeCancelled, at once.  May be called from anywhere and repeatedly."""
        self._cancelled = True
        self._chunks.put(None)

    def get(self) -> bytes:
        """The next chunk; empty after the last.  Called by the thread.  Raises: PipeCancelled."""
        chunk = self._chunks.get()
        if self._cancelled:
            raise PipeCancelled
        if chunk is None:
            self._chunks.put(None)
            return b""
        self._loop.call_soon_threadsafe(self._slots.release)
        return chunk
