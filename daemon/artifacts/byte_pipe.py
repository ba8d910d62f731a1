"""Bytes on their way between the event loop and a worker thread, a bounded number of chunks at a time."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
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


class ReturnPipe:
    """The other direction: written to by one thread, read by a task of the loop it was made in."""

    def __init__(self, chunks: int) -> None:
        """`chunks`: how many the thread may be ahead."""
        self._loop = asyncio.get_running_loop()
        self._slots = threading.Semaphore(chunks)
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._cancelled = False

    def put(self, data: bytes | memoryview) -> None:
        """A copy of the data; waits while the reader is behind.  Called by the thread.  Raises: PipeCancelled."""
        self._slots.acquire()
        if self._cancelled:
            raise PipeCancelled
        self._loop.call_soon_threadsafe(self._chunks.put_nowait, bytes(data))

    def close(self) -> None:
        """No more will come.  Called by the thread."""
        # A loop that was closed meanwhile has nobody who waits.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, None)

    def cancel(self) -> None:
        """Whoever writes gets PipeCancelled, at once."""
        self._cancelled = True
        self._slots.release()

    async def get(self) -> bytes | None:
        """The next chunk; None after the last."""
        chunk = await self._chunks.get()
        if chunk is not None:
            self._slots.release()
        return chunk
