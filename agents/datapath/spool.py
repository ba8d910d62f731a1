"""Encrypted parts on disk: files without a name, so that not even a crash leaves one behind."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Final

from contracts.errors import StrongroomError, error

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_FALLOCATE: Final = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENODEV})
_NO_TMPFILE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})


class Spool:
    """A directory and a bound on what lies in it.  `Staging` holds its lock around `promise` and `give_back`."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        """Makes the directory.  Raises: InvalidInput `config.invalid` if that is not possible."""
        self.directory = directory
        self._max_bytes = max_bytes
        self.used_bytes = 0
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            os.close(open_unnamed(directory))
        except OSError as exc:
            raise error(
                "config.invalid", f"spool_dir: {directory} cannot be written: {exc.strerror}", field="spool_dir"
            ) from exc

    def promise(self, size_bytes: int) -> bool:
        """Whether a part of that size may be written; if so its room is set aside.  Two parts fit in any case."""
        if self.used_bytes + size_bytes > max(self._max_bytes, 2 * size_bytes):
            return False
        self.used_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes

    def open(self, size_bytes: int) -> int:
        """A descriptor of a new file whose room on the disk is taken already; the caller closes it, which removes the file.

        Raises: RunFailed `spool.full`, `agent.internal` for a disk that fails otherwise.
        """
        try:
            fd = open_unnamed(self.directory)
            try:
                _take_room(fd, size_bytes)
            except BaseException:
                os.close(fd)
                raise
        except OSError as exc:
            raise spool_error(exc, self.directory) from exc
        return fd


def _take_room(fd: int, size_bytes: int) -> None:
    """So that a full disk is known before the first byte of a part, not in its middle."""
    try:
        os.posix_fallocate(fd, 0, size_bytes)
    except OSError as exc:
        if exc.errno not in _NO_FALLOCATE:
            raise


def open_unnamed(directory: Path) -> int:
    """A file of mode 0600 that no directory lists."""
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        if exc.errno not in _NO_TMPFILE:
            raise
    # Some file systems (overlay, NFS) know no unnamed files; made and unlinked at once is the next best.
    fd, path = tempfile.mkstemp(dir=directory, prefix=".part-")
    Path(path).unlink()
    return fd


def spool_error(exc: OSError, directory: Path) -> StrongroomError:
    """What a failed call on a spool file means."""
    if exc.errno in _NO_ROOM:
        return error("spool.full", f"the spool directory {directory} has no room left", detail=exc.strerror)
    return error("agent.internal", f"the spool directory {directory} fails: {exc.strerror}", detail=str(exc))
