"""The data directory of embedded mode belongs to one process at a time."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from daemon.embedded.errors import DataDirBusy
from daemon.embedded.private_files import make_private_dir

_RETRY_S: Final = 0.1


@asynccontextmanager
async def hold_data_dir(path: Path, timeout_s: float = 5.0) -> AsyncIterator[Path]:
    """The directory, made when absent and held for the length of the block; the kernel lets go of it when we die.

    Neither nats-server nor SeaweedFS notices a second server on the same files before it has damaged them.  The timeout
    is for the end of a process that is being replaced.  Raises: DataDirBusy.
    """
    make_private_dir(path)
    descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise DataDirBusy(path)
            await asyncio.sleep(_RETRY_S)
        yield path
    finally:
        os.close(descriptor)  # lets go of the lock; the file stays, because removing it would race with the next holder


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
