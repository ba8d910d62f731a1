"""The two kinds of room a part can have.  One thread writes it, then the event loop reads it as often as it must."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Protocol

from agents.datapath.blocks import BLOCK_BYTES
from agents.datapath.spool import spool_error

SLICE_BYTES: Final = 128 * 1024
"""What is given to a socket at once: asyncio copies whatever the socket does not take."""


_GATHERED_BYTES: Final = 256 * 1024


class Place(Protocol):
    """Room for one part."""

    on_disk: bool

    def space(self) -> memoryview:
        """Where the next bytes go; never empty while the part is not full."""

    def advance(self, count: int) -> None:
        """Says that many bytes of `space()` were filled."""

    def end(self) -> None:
        """No more bytes will come; gives back what was set aside and not used."""

    def slices(self) -> AsyncIterator[memoryview | bytes]:
        """The part from its first byte.  The slices may be kept until the place is released."""

    def release(self) -> None:
        """Gives the room back; from any thread, and again without effect."""


class MemoryPlace:
    """A part in blocks of the agent's pool, which are taken as they are needed."""

    on_disk = False

    def __init__(
        self, take: Callable[[], memoryview], give_back: Callable[[list[memoryview], int], None], promised: int
    ) -> None:
        self._take = take
        self._give_back = give_back
        self._promised = promised
        self._blocks: list[memoryview] = []
        self._filled = BLOCK_BYTES
        """Of the last block."""

    def space(self) -> memoryview:
        if self._filled == BLOCK_BYTES:
            self._blocks.append(self._take())
            self._filled = 0
        return self._blocks[-1][self._filled :]

    def advance(self, count: int) -> None:
        self._filled += count

    def end(self) -> None:
        unused = self._promised - len(self._blocks)
        if unused:
            self._promised -= unused
            self._give_back([], unused)

    async def slices(self) -> AsyncIterator[memoryview | bytes]:
        last = len(self._blocks) - 1
        for index, block in enumerate(self._blocks):
            length = self._filled if index == last else BLOCK_BYTES
            for at in range(0, length, SLICE_BYTES):
                yield block[at : min(at + SLICE_BYTES, length)]

    def release(self) -> None:
        blocks, self._blocks = self._blocks, []
        promised, self._promised = self._promised, 0
        if promised:
            self._give_back(blocks, promised)


class SpoolPlace:
    """A part in a file without a name.  Bytes are gathered in a buffer before they are written."""

    on_disk = True

    def __init__(self, fd: int, directory: Path, give_back: Callable[[], None]) -> None:
        self._fd = fd
        self._directory = directory
        self._buffer = memoryview(bytearray(_GATHERED_BYTES))
        self._gathered = 0
        self._written = 0
        self._give_back = give_back

    def space(self) -> memoryview:
        if self._gathered == len(self._buffer):
            self._write()
        return self._buffer[self._gathered :]

    def advance(self, count: int) -> None:
        self._gathered += count

    def end(self) -> None:
        self._write()
        self._buffer = memoryview(b"")

    def _write(self) -> None:
        """Raises: RunFailed `spool.full`, `agent.internal`."""
        view = self._buffer[: self._gathered]
        try:
            while view:
                count = os.pwrite(self._fd, view, self._written)
                self._written += count
                view = view[count:]
        except OSError as exc:
            raise spool_error(exc, self._directory) from exc
        self._gathered = 0

    async def slices(self) -> AsyncIterator[memoryview | bytes]:
        # Fresh bytes each time: a socket may still hold the slice before.
        at = 0
        while at < self._written:
            data = await asyncio.to_thread(self._read, at, min(SLICE_BYTES, self._written - at))
            yield data
            at += len(data)

    def _read(self, at: int, length: int) -> bytes:
        try:
            data = os.pread(self._fd, length, at)
        except OSError as exc:
            raise spool_error(exc, self._directory) from exc
        if not data:
            raise spool_error(OSError(0, "a file is shorter than what was written to it"), self._directory)
        return data

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
            self._give_back()
