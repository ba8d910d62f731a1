"""A look at a snapshot as it flows by: whether it is a whole tar archive, and the data of which shards are in it.

A tar that was cut off at a file's end reads like a shorter one, so its end-of-archive mark is insisted on.
Format: POSIX ustar with GNU extensions, see `tar(5)`; Qdrant writes sparse files in the old GNU form, whose map may go on in
blocks after the header.
"""

from __future__ import annotations

import tarfile
from typing import Final

from contracts.errors import Corrupt

_BLOCK: Final = tarfile.BLOCKSIZE
_SPARSE: Final = tarfile.GNUTYPE_SPARSE
_MORE_IN_HEADER: Final = 482
_MORE_IN_EXTENSION: Final = 504
_CONFIG: Final = "config.json"


class SnapshotWalk:
    """Fed with the bytes in order.  Memory held: a block."""

    def __init__(self) -> None:
        self.shards: set[int] = set()
        """Those with segments."""
        self.size_bytes = 0
        self._names: set[str] = set()
        self._block = bytearray()
        self._skip = 0
        self._extended = False
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Raises: Corrupt `artifact.corrupt` for what is no such archive."""
        self.size_bytes += len(data)
        at = 0
        while at < len(data):
            if self._ended:
                return  # padding
            if self._skip:
                step = min(self._skip, len(data) - at)
                self._skip -= step
                at += step
                continue
            step = min(_BLOCK - len(self._block), len(data) - at)
            self._block += data[at : at + step]
            at += step
            if len(self._block) == _BLOCK:
                block = bytes(self._block)
                self._block.clear()
                self._take(block)

    def finish(self) -> None:
        """Raises: Corrupt `artifact.corrupt` when the archive has not come to its end, or is none of a collection."""
        if not self._ended:
            raise Corrupt("artifact.corrupt", f"the snapshot ends in the middle, after {self.size_bytes} bytes")
        if _CONFIG not in self._names:
            raise Corrupt("artifact.corrupt", f"the snapshot is not one of a collection: it has no {_CONFIG}")

    def _take(self, block: bytes) -> None:
        if self._extended:
            self._extended = bool(block[_MORE_IN_EXTENSION])
            if not self._extended:
                self._skip, self._after = self._after, 0
            return
        if not any(block):
            self._ended = True
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as exc:
            raise Corrupt("artifact.corrupt", f"the snapshot has a broken header: {exc}") from exc
        if header.size < 0:
            raise Corrupt("artifact.corrupt", f"the snapshot has a broken header: {header.name!r} of {header.size} bytes")
        self._note(header.name)
        padded = -(-header.size // _BLOCK) * _BLOCK
        if header.type == _SPARSE and block[_MORE_IN_HEADER]:
            self._extended, self._after = True, padded
        else:
            self._skip = padded

    def _note(self, name: str) -> None:
        parts = name.removeprefix("./").rstrip("/").split("/")
        if len(parts) == 1:
            self._names.add(parts[0])
        elif len(parts) > 2 and parts[0].isdecimal() and parts[1] == "segments":
            self.shards.add(int(parts[0]))

    _after = 0
    """Bytes of data that follow the rest of a sparse file's map."""
