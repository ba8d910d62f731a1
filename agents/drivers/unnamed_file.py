"""A file on disk that no directory lists: whatever ends the agent, nothing of it stays."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from agents.datapath.spool import open_unnamed
from agents.processes import uncancelled
from contracts.errors import RunFailed

RESERVE_BYTES: Final = 256 * 1024 * 1024
"""What is left free on the disk in any case: others need some, too."""
_READ_BYTES: Final = 4 * 1024 * 1024
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class UnnamedFile:
    """Written once and read as often as needed, in threads.

    A thread cannot be cancelled, and the number of a file that is closed under it may be another one's a moment later: so
    each call lasts until its thread has ended.
    """

    def __init__(self, directory: Path) -> None:
        """Raises: RunFailed `spool.full`, `agent.internal` when there can be no file."""
        self._directory = directory
        self.size_bytes = 0
        try:
            self._fd = open_unnamed(directory)
        except OSError as exc:
            raise _failed(directory, exc) from exc

    def require_room(self, size_bytes: int) -> None:
        """Raises: RunFailed `spool.full` when so much more would not fit."""
        status = os.fstatvfs(self._fd)
        free = status.f_bavail * status.f_frsize
        if free - size_bytes < RESERVE_BYTES:
            mib = 1024 * 1024
            what = f"the agent's work directory {self._directory} has only {free // mib} MiB left"
            raise RunFailed(
                "spool.full",
                f"{what}, where {-(-size_bytes // mib)} MiB are to be stored and {RESERVE_BYTES // mib} MiB stay free: "
                "make room there, or set work_dir to a larger disk",
            )

    async def append(self, data: bytes | bytearray) -> None:
        """Raises: RunFailed `spool.full`, `agent.internal`."""
        await uncancelled(asyncio.to_thread(self._append, data), name="unnamed-file:append")

    def _append(self, data: bytes | bytearray) -> None:
        self.require_room(len(data))
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError as exc:
            raise _failed(self._directory, exc) from exc
        self.size_bytes += len(data)

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it, from the beginning.  Raises: RunFailed `agent.internal`."""
        offset = 0
        while data := await uncancelled(asyncio.to_thread(self._read, offset), name="unnamed-file:read"):
            offset += len(data)
            yield data

    def _read(self, offset: int) -> bytes:
        try:
            return os.pread(self._fd, _READ_BYTES, offset)
        except OSError as exc:
            raise _failed(self._directory, exc) from exc

    def close(self) -> None:
        """Its room is free again.  May be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _failed(directory: Path, exc: OSError) -> RunFailed:
    if exc.errno in _NO_ROOM:
        what = f"the agent's work directory {directory} has no room left: make room there, or set work_dir to a larger disk"
        return RunFailed("spool.full", what, detail=exc.strerror)
    return RunFailed("agent.internal", f"the agent's work directory {directory} fails: {exc.strerror}", detail=str(exc))
