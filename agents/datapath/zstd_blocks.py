"""Cuts a zstd frame between its blocks, so that each piece becomes a bounded number of bytes however well it is compressed.

A block becomes at most 128 KiB, but may have four bytes itself: a few hundred KiB of well compressed zeros could become
gigabytes in one call of the decompressor.  Only lengths are read here; what is malformed is passed on as it is, and the
decompressor refuses it.

Source: RFC 8878, sections 3.1.1.1 (frame header) and 3.1.1.2 (blocks).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

BLOCKS_PER_PIECE: Final = 4
_BLOCK_HEADER: Final = 3
_RLE: Final = 1
_DICTIONARY_ID_SIZE: Final = (0, 1, 2, 4)
_CONTENT_SIZE_SIZE: Final = (0, 2, 4, 8)


class BlockSplitter:
    """Remembers where in the frame the last piece ended."""

    def __init__(self) -> None:
        self._known = bytearray()
        """Bytes of a header that is not complete yet."""
        self._in_frame_header = True
        self._skip = 0
        """Bytes of a block's content before the next header."""
        self._ended = False

    def split(self, data: memoryview) -> Iterator[memoryview]:
        """`data` in pieces, each of which completes at most BLOCKS_PER_PIECE blocks."""
        start = at = blocks = 0
        while at < len(data) and not self._ended:
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            self._known.append(data[at])
            at += 1
            if self._in_frame_header:
                self._read_frame_header()
            elif len(self._known) == _BLOCK_HEADER:
                if blocks == BLOCKS_PER_PIECE:
                    yield data[start:at]
                    start, blocks = at, 0
                self._read_block_header()
                blocks += 1
        if start < len(data):
            yield data[start:]

    def _read_frame_header(self) -> None:
        if len(self._known) < 5:
            return
        descriptor = self._known[4]
        single_segment = descriptor >> 5 & 1
        content_size = _CONTENT_SIZE_SIZE[descriptor >> 6] or single_segment
        if len(self._known) == 5 + (1 - single_segment) + _DICTIONARY_ID_SIZE[descriptor & 3] + content_size:
            self._in_frame_header = False
            self._known.clear()

    def _read_block_header(self) -> None:
        header = int.from_bytes(self._known, "little")
        self._known.clear()
        self._ended = bool(header & 1)
        self._skip = 1 if header >> 1 & 3 == _RLE else header >> 3
