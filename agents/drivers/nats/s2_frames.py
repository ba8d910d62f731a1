"""The outside of an s2 stream: whether it is whole, what kind of archive is inside, and how large that is unpacked.

Frames are only walked over, nothing is unpacked.  Format: the Snappy framing format with s2's extensions (larger blocks,
index frames).  Source: google/snappy, framing_format.txt; klauspost/compress, s2/README.md.
"""

from __future__ import annotations

from typing import Final

MAGIC: Final = b"\xff\x06\x00\x00S2sTwO"
SNAPPY_MAGIC: Final = b"\xff\x06\x00\x00sNaPpY"
_COMPRESSED: Final = 0x00
_UNCOMPRESSED: Final = 0x01
_FIRST_SKIPPABLE: Final = 0x80
_CRC_BYTES: Final = 4
_HEADER_BYTES: Final = 4
_MOST_BLOCK: Final = 4 * 1024 * 1024
"""What one frame may unpack to."""
_NATSARC: Final = b"NATSARC1"

NATSARC: Final = "natsarc1"
TAR: Final = "tar"
_START_BYTES: Final = 64


class FrameWalker:
    """Fed with the stream piece by piece; holds a few bytes of it."""

    def __init__(self) -> None:
        self.unpacked_bytes = 0
        self.archive = ""
        """`natsarc1` (nats-server 2.15 and later) or `tar`; known after the first frame with data has begun."""
        self._expected: bytes = b""
        self._head = bytearray()
        self._skip = 0
        self._started = False
        self._kind = -1
        self._wants = _HEADER_BYTES

    @property
    def is_whole(self) -> bool:
        """Whether the stream could end here: at the end of a frame, after some data."""
        return self._started and not self._head and not self._skip and self.unpacked_bytes > 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Raises: ValueError for what is no s2 stream."""
        view = memoryview(data)
        while view:
            if self._skip:
                count = min(self._skip, len(view))
                self._skip -= count
                view = view[count:]
                continue
            count = min(self._wants - len(self._head), len(view))
            self._head += view[:count]
            view = view[count:]
            if len(self._head) == self._wants:
                self._take()

    def _take(self) -> None:
        if self._kind < 0:
            self._take_header()
        else:
            self._take_start()

    def _take_header(self) -> None:
        kind, size = self._head[0], int.from_bytes(self._head[1:4], "little")
        if not self._started:
            if kind != MAGIC[0] or size != len(MAGIC) - _HEADER_BYTES:
                raise ValueError("it does not begin as an s2 stream does")
            self._kind, self._wants = kind, len(MAGIC)
            return
        if kind in (_COMPRESSED, _UNCOMPRESSED):
            if size <= _CRC_BYTES:
                raise ValueError("it has a frame without data")
            self._kind, self._wants = kind, _HEADER_BYTES + min(size, _START_BYTES)
        elif kind >= _FIRST_SKIPPABLE:
            self._begin_next(size)
        else:
            raise ValueError(f"it has a frame of the unknown kind {kind:#04x}")

    def _take_start(self) -> None:
        head, size = bytes(self._head), int.from_bytes(self._head[1:4], "little")
        if not self._started:
            if head not in (MAGIC, SNAPPY_MAGIC):
                raise ValueError("it does not begin as an s2 stream does")
            self._started = True
            self._begin_next(0)
            return
        start = head[_HEADER_BYTES + _CRC_BYTES :]
        if self._kind == _UNCOMPRESSED:
            unpacked, text = size - _CRC_BYTES, start
        else:
            unpacked, text = _block_start(start)
        if unpacked > _MOST_BLOCK:
            raise ValueError("it has a frame that is too large")
        if not self.unpacked_bytes:
            self.archive = NATSARC if text.startswith(_NATSARC) else TAR
        self.unpacked_bytes += unpacked
        self._begin_next(size - (len(head) - _HEADER_BYTES))

    def _begin_next(self, skip: int) -> None:
        self._head.clear()
        self._kind, self._wants, self._skip = -1, _HEADER_BYTES, skip


def _block_start(block: bytes) -> tuple[int, bytes]:
    """(unpacked size, first bytes) of a compressed block: its first element is always a literal."""
    size, digits = 0, 0
    for byte in block[:5]:
        size |= (byte & 0x7F) << (7 * digits)
        digits += 1
        if byte < 0x80:
            break
    tag, rest = (block[digits:] or b"\x01")[0], block[digits + 1 :]
    if tag & 0x03:  # no literal: whatever that is, it holds no text of ours
        return size, b""
    count = tag >> 2
    extra = max(0, count - 59)
    length = count + 1 if not extra else int.from_bytes(rest[:extra], "little") + 1
    return size, rest[extra : extra + length]
