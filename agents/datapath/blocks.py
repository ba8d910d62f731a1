"""Memory for parts: one mapping of fixed size, cut into blocks that are reused, so that an agent's memory stays flat.

Not `bytearray` per part: the allocator would keep what it has freed, in pieces that no longer fit.
"""

from __future__ import annotations

import mmap
from typing import Final

BLOCK_BYTES: Final = 1024 * 1024


def blocks_for(size_bytes: int) -> int:
    """How many blocks hold that many bytes."""
    return -(-size_bytes // BLOCK_BYTES)


class BlockPool:
    """Blocks are promised in advance and taken one by one.  Not thread-safe: `Staging` holds its lock around every call."""

    def __init__(self, total_bytes: int) -> None:
        self._count = max(1, total_bytes // BLOCK_BYTES)
        self._mapping = mmap.mmap(-1, self._count * BLOCK_BYTES)
        whole = memoryview(self._mapping)
        # The block used last is handed out first: small transfers touch few pages.
        self._idle = [whole[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES] for at in reversed(range(self._count))]
        self._unpromised = self._count

    @property
    def total_bytes(self) -> int:
        return self._count * BLOCK_BYTES

    @property
    def promised_bytes(self) -> int:
        return (self._count - self._unpromised) * BLOCK_BYTES

    def promise(self, blocks: int) -> bool:
        """Whether that many may be taken; if so they are set aside."""
        if blocks > self._unpromised:
            return False
        self._unpromised -= blocks
        return True

    def take(self) -> memoryview:
        """One of the blocks that were promised."""
        return self._idle.pop()

    def give_back(self, taken: list[memoryview], promised: int) -> None:
        """Ends a promise of `promised` blocks, of which `taken` were taken."""
        self._idle += reversed(taken)
        self._unpromised += promised
        if self._unpromised == self._count:
            # Nothing is under way: the host gets its memory back.
            self._mapping.madvise(mmap.MADV_DONTNEED)
