"""Making what an object store on this machine has acknowledged survive a power cut."""

from __future__ import annotations

import asyncio
import ctypes
import os
from pathlib import Path


async def sync_filesystem(directory: Path) -> None:
    """Returns when everything written so far to the directory's file system is on the disk.

    SeaweedFS answers as soon as the kernel has the bytes, which a crash of the server survives and one of the machine does
    not.  Raises: OSError when the disk refused data that were acknowledged before.
    """
    await asyncio.to_thread(_syncfs, directory)


def _syncfs(directory: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if libc.syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(directory))
    finally:
        os.close(descriptor)
