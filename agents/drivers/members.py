"""An artifact of several files, as a plain tar archive that is written and read as it flows.

A tar header states its file's size, so a file whose size is not known beforehand is cut into numbered ones of a few MiB.
What is inside is for the stock `tar`; names are ours (`index.json`, `data-000001.ndjson`): short, ASCII, no engine's.
Format: POSIX ustar, see `tar(5)`.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import AsyncIterator
from typing import Final

from agents.drivers.pipes import PipeReader, PipeWriter
from contracts.errors import Corrupt

MAX_MEMBER_BYTES: Final = 64 * 1024 * 1024
"""Held in memory, so bounded; what we write is far smaller."""
_BLOCK: Final = tarfile.BLOCKSIZE
_RECORD: Final = tarfile.RECORDSIZE
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class MemberWriter:
    """Writes members; nothing is whole before `end`."""

    def __init__(self, pipe: PipeWriter) -> None:
        self._pipe = pipe

    async def add(self, name: str, data: bytes | bytearray) -> None:
        """One file of mode 0600.  `name` has at most 64 characters of a-z, 0-9, `.`, `_` and `-`."""
        if not _NAME.fullmatch(name) or len(data) > MAX_MEMBER_BYTES:
            raise ValueError(f"no member {name!r} of {len(data)} bytes")
        header = tarfile.TarInfo(name)
        header.size, header.mode = len(data), 0o600
        await self._pipe.write(header.tobuf(format=tarfile.USTAR_FORMAT))
        await self._pipe.write(data)
        await self._pipe.write(bytes(-len(data) % _BLOCK))

    async def end(self) -> None:
        """The end-of-archive mark; padded to a whole record, as GNU tar does."""
        padding = -(self._pipe.written_bytes + 2 * _BLOCK) % _RECORD
        await self._pipe.write(bytes(2 * _BLOCK + padding))


async def read_members(pipe: PipeReader) -> AsyncIterator[tuple[str, bytes]]:
    """(name, content) of each member, one at a time.

    Raises: Corrupt `artifact.corrupt` for what is no such archive, and for one that ends before its mark.
    """
    while True:
        block = await pipe.read_exactly(_BLOCK)
        if not any(block):
            if any(await pipe.read_exactly(_BLOCK)):
                raise Corrupt("artifact.corrupt", "the archive goes on after half of its end mark")
            await pipe.drain()
            return
        try:
            header = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.HeaderError, UnicodeDecodeError) as exc:
            raise Corrupt("artifact.corrupt", f"the archive has a broken header: {exc}") from exc
        if not header.isreg() or not _NAME.fullmatch(header.name) or not 0 <= header.size <= MAX_MEMBER_BYTES:
            raise Corrupt("artifact.corrupt", f"the archive has a member that does not belong there: {header.name!r}")
        data = await pipe.read_exactly(header.size)
        await pipe.read_exactly(-header.size % _BLOCK)
        yield header.name, data
