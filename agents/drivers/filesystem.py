"""What Python's library leaves out of Linux's file systems: the table of mounts, trading places, and removal of any tree."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

_MOUNT_TABLE: Final = Path("/proc/self/mountinfo")
_MOUNT_POINT_FIELD: Final = 4
"""See proc_pid_mountinfo(5)."""
_OCTAL: Final = re.compile(rb"\\([0-7]{3})")
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
"""See renameat2(2)."""
_MAX_DEPTH: Final = 100
"""Each level takes a descriptor and room on the stack."""
_UNKNOWN_FLAGS: Final = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def mount_points() -> list[Path]:
    """Where something is mounted: also a part of the same file system, which `os.path.ismount` does not see."""
    try:
        lines = _MOUNT_TABLE.read_bytes().splitlines()
    except OSError:  # no /proc here
        return []
    names = (line.split(b" ")[_MOUNT_POINT_FIELD] for line in lines)
    return [Path(os.fsdecode(_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), name))) for name in names]


def is_mount_point(directory: Path) -> bool:
    """Whether it is the root of something mounted, so that it cannot be renamed.  `directory` has no symbolic links."""
    return os.path.ismount(directory) or directory in mount_points()


def mounts_below(directory: Path) -> list[Path]:
    """What is mounted inside `directory`, at whatever depth.  `directory` has no symbolic links."""
    return sorted({point for point in mount_points() if point != directory and point.is_relative_to(directory)})


def open_directory(path: Path) -> int:
    """A descriptor of an absolute path without symbolic links: one that has come in meanwhile is not followed.

    Raises: OSError.
    """
    fd = os.open("/", os.O_PATH | os.O_DIRECTORY)
    for part in path.parts[1:]:
        try:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def exists(name: str, *, dir_fd: int) -> bool:
    """Also for a symbolic link that leads nowhere.  Raises: OSError."""
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def exchange(first: str, second: str, *, dir_fd: int, second_dir_fd: int | None = None) -> bool:
    """Two names trade places in one step; False when the file system cannot do that.

    They are in the directory `dir_fd`, or the second one in `second_dir_fd`.  Raises: OSError.
    """
    return _rename(first, second, dir_fd, dir_fd if second_dir_fd is None else second_dir_fd, _RENAME_EXCHANGE)


def rename_new(source: str, destination: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
    """As `os.rename`, but never onto something that exists.  Raises: FileExistsError and other OSError."""
    if _rename(source, destination, src_dir_fd, dst_dir_fd, _RENAME_NOREPLACE):
        return
    if exists(destination, dir_fd=dst_dir_fd):  # a file system that knows no better: there is a moment in between
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), destination)
    os.rename(source, destination, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)


def _rename(source: str, destination: str, src_dir_fd: int, dst_dir_fd: int, flags: int) -> bool:
    """False when kernel, C library or file system do not know these flags.  Raises: OSError."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(src_dir_fd, os.fsencode(source), dst_dir_fd, os.fsencode(destination), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNKNOWN_FLAGS:
        return False
    raise OSError(number, os.strerror(number), source, None, destination)


def lock(fd: int) -> bool:
    """Whether this process has the directory's lock now; the kernel takes it back when the process ends.

    True also where the file system has no locks.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def remove_tree(name: str, *, dir_fd: int, failed: Callable[[str, OSError], None]) -> None:
    """Removes a directory and all below it, also where its owner took the right to do so from itself; never follows links.

    However deep it is.  `failed` is told what could not be removed, and why.
    """
    removal = _Removal(dir_fd, name, failed)
    removal.remove(name, dir_fd, name, 0)
    while removal.too_deep:
        below = removal.too_deep.pop()
        removal.remove(below, dir_fd, name, 0)


class _Removal:
    """`shutil.rmtree` gives up where a tree is deeper than Python's stack, and opens a descriptor for each level."""

    def __init__(self, top_fd: int, name: str, failed: Callable[[str, OSError], None]) -> None:
        self.too_deep: list[str] = []
        """Directories that were moved up, beside the one that is removed."""
        self._top_fd = top_fd
        self._name = name
        self._failed = failed
        self._moved = 0

    def remove(self, name: str, dir_fd: int, path: str, depth: int) -> bool:
        try:
            fd = _open_with_rights(name, dir_fd)
            try:
                while self._remove_entries(fd, path, depth):  # again, since what is removed may disturb the listing
                    pass
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=dir_fd)
        except FileNotFoundError:
            return True
        except OSError as exc:
            self._failed(path, exc)
            return False
        return True

    def _remove_entries(self, fd: int, path: str, depth: int) -> bool:
        """Whether something was removed."""
        some = False
        with os.scandir(fd) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    some |= self._unlink(entry.name, fd, path)
                elif depth < _MAX_DEPTH:
                    some |= self.remove(entry.name, fd, f"{path}/{entry.name}", depth + 1)
                else:
                    some |= self._move_up(entry.name, fd, path)
        return some

    def _unlink(self, name: str, fd: int, path: str) -> bool:
        try:
            os.unlink(name, dir_fd=fd)
        except OSError as exc:
            self._failed(f"{path}/{name}", exc)
            return False
        return True

    def _move_up(self, name: str, fd: int, path: str) -> bool:
        self._moved += 1
        above = f"{self._name}-{self._moved}"
        try:
            rename_new(name, above, src_dir_fd=fd, dst_dir_fd=self._top_fd)
        except OSError as exc:
            self._failed(f"{path}/{name}", exc)
            return False
        self.too_deep.append(above)
        return True


def _open_with_rights(name: str, dir_fd: int) -> int:
    """A directory, which its owner may then read and empty."""
    path_fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=dir_fd)
    try:
        status = os.fstat(path_fd)
        if status.st_uid == os.geteuid() and status.st_mode & stat.S_IRWXU != stat.S_IRWXU:
            os.chmod(f"/proc/self/fd/{path_fd}", stat.S_IRWXU)  # noqa: PTH101 - not of an O_PATH descriptor itself
        return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=path_fd)
    finally:
        os.close(path_fd)
