"""A look at the whole tree before it is dumped, or after it was restored: how much there is, and what tar will leave out.

Memory does not depend on the number of files: one open directory per level, and figures.  Blocking; runs in a thread.
"""

from __future__ import annotations

import errno
import heapq
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from agents.drivers.shared_storage.exclusion import Exclusion
from agents.drivers.shared_storage.names import readable
from contracts.errors import RunFailed

AT_THE_TOP: Final = "."
"""Under `counts`: the files that lie in the root itself."""
IN_FURTHER: Final = "other directories/"
"""Under `counts`: those below all further directories at the top.  No file can be named so."""
MAX_TOPS: Final = 500
_MAX_NAMES: Final = 50
_MAX_OPEN: Final = 100
"""Directories that are open at once; what is deeper is listed as a whole."""
_BLOCK: Final = 512
_HEADERS_BYTES: Final = 3 * _BLOCK
"""Of an entry in the archive: its header, and an extended one with times in nanoseconds."""


@dataclass
class Top:
    """An entry of the root."""

    files: int = 0
    size_bytes: int = 0


@dataclass
class Survey:
    """What there is."""

    files: int = 0
    """Regular files, by all of their names."""
    directories: int = 0
    symbolic_links: int = 0
    special: int = 0
    """Devices and pipes."""
    hard_links: int = 0
    """Names of files that have more than one."""
    sockets: int = 0
    size_bytes: int = 0
    """Of regular files, a file with several names once."""
    archive_bytes: float = 0
    """About; holes in files count for nothing."""
    tops: dict[str, Top] = field(default_factory=dict)
    mounts: list[str] = field(default_factory=list)
    """The first other file systems that are left out."""
    mount_count: int = 0
    excluded: int = 0
    """Entries that were left out, what is below them not counted."""
    without_blocks: int = 0
    """Files that have data, but of which the file system says that they take no room: tar would take them for holes."""
    too_deep: int = 0
    """Directories whose whole path is longer than the kernel takes: backed up, but what is in them is not counted."""

    @property
    def is_empty(self) -> bool:
        return not (self.files or self.directories or self.symbolic_links or self.special)

    @property
    def counts(self) -> dict[str, int]:
        """The number of files (what is no directory) below each directory of the root; see `AT_THE_TOP`, `IN_FURTHER`."""
        return {name: top.files for name, top in self.tops.items()}

    def as_inventory(self) -> dict[str, Any]:
        """Plain data for `BackupPlan.inventory`."""
        largest = heapq.nlargest(20, self.tops.items(), key=lambda item: item[1].size_bytes)
        return {
            "counts": self.counts,
            "files": self.files,
            "directories": self.directories,
            "symbolic_links": self.symbolic_links,
            "special_files": self.special,
            "hard_links": self.hard_links,
            "bytes": self.size_bytes,
            "largest": [{"name": name, "files": top.files, "bytes": top.size_bytes} for name, top in largest],
            "mounts_left_out": self.mounts,
            "sockets_left_out": self.sockets,
            "excluded": self.excluded,
        }


def survey(root: str, exclusion: Exclusion, *, one_file_system: bool, stopped: Callable[[], bool] = bool) -> Survey:
    """What a dump of the tree would have in it.  `stopped` is asked now and then; when it says so, the look ends early.

    Raises: RunFailed `engine.permission` for a directory that may not be read, `dump.failed` for one that cannot;
    OSError for the root.
    """
    walk = _Walk(root, exclusion, one_file_system=one_file_system, stopped=stopped)
    walk.run()
    return walk.found


class _Walk:
    def __init__(self, root: str, exclusion: Exclusion, *, one_file_system: bool, stopped: Callable[[], bool]) -> None:
        self.found = Survey(archive_bytes=_HEADERS_BYTES + 2 * _BLOCK)
        self._root = os.fsencode(root)
        self._exclusion = exclusion
        self._one_file_system = one_file_system
        self._stopped = stopped
        self._top = Top()

    def run(self) -> None:
        root_device = os.stat(self._root).st_dev  # noqa: PTH116 - names are bytes here
        self.found.tops[AT_THE_TOP] = Top()
        for name in self._directories_counted_alone():
            self.found.tops[readable(name)] = Top()
        levels = [self._entries(b"", root_device, 0)]
        try:
            while levels and not self._stopped():
                below = next(levels[-1], None)
                if below is None:
                    levels.pop()
                    continue
                path, device = below
                levels.append(self._entries(path + b"/", device, len(levels)))
        finally:
            for level in levels:
                level.close()  # type: ignore[attr-defined]

    def _directories_counted_alone(self) -> list[bytes]:
        """The first directories of the root by name: the same ones in the backup and after a restore."""
        with os.scandir(self._root) as entries:
            names = (
                entry.name
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not self._exclusion.leaves_out(entry.name)
            )
            return heapq.nsmallest(MAX_TOPS, names)

    def _entries(self, prefix: bytes, device: int, depth: int) -> Iterator[tuple[bytes, int]]:
        """Counts the entries of a directory, and yields (path, device) of each one to look into."""
        directory = os.path.join(self._root, prefix) if prefix else self._root  # noqa: PTH118
        try:
            with os.scandir(directory) as scanned:
                entries = scanned if depth < _MAX_OPEN else iter(list(scanned))
                for entry in entries:
                    path = prefix + entry.name
                    if self._exclusion.leaves_out(path):
                        self.found.excluded += 1
                    elif (status := _status(entry)) is not None:
                        if not prefix:
                            self._enter(entry.name, is_directory=stat.S_ISDIR(status.st_mode))
                        if self._count(path, entry, status, device):
                            yield path, status.st_dev
        except OSError as exc:
            if not prefix:
                raise
            if exc.errno == errno.ENAMETOOLONG:  # tar goes down step by step and reads it all the same
                self.found.too_deep += 1
            elif not isinstance(exc, FileNotFoundError | NotADirectoryError):  # those were removed meanwhile
                raise unreadable(readable(directory), exc) from exc

    def _enter(self, name: bytes, *, is_directory: bool) -> None:
        key = readable(name) if is_directory else AT_THE_TOP
        if key not in self.found.tops:
            key = IN_FURTHER
        self._top = self.found.tops.setdefault(key, Top())

    def _count(self, path: bytes, entry: os.DirEntry[bytes], status: os.stat_result, device: int) -> bool:
        """Whether it is a directory to look into."""
        found, mode = self.found, status.st_mode
        if stat.S_ISSOCK(mode):
            found.sockets += 1
            return False
        found.archive_bytes += _HEADERS_BYTES
        if stat.S_ISDIR(mode):
            found.directories += 1
            if self._one_file_system and status.st_dev != device:
                found.mount_count += 1
                if len(found.mounts) < _MAX_NAMES:
                    found.mounts.append(readable(path))
                return False
            return True
        self._top.files += 1
        if stat.S_ISLNK(mode):
            found.symbolic_links += 1
        elif not stat.S_ISREG(mode):
            found.special += 1
        else:
            found.files += 1
            found.hard_links += status.st_nlink > 1
            found.size_bytes += status.st_size // status.st_nlink
            self._top.size_bytes += status.st_size // status.st_nlink
            found.without_blocks += bool(status.st_size and not status.st_blocks and _has_data(entry.path))
            stored = min(status.st_size, status.st_blocks * _BLOCK)
            found.archive_bytes += (stored + -stored % _BLOCK) / status.st_nlink
        return False


def _status(entry: os.DirEntry[bytes]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None


def _has_data(path: bytes) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False  # tar will say so
    try:
        os.lseek(fd, 0, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole
        return False
    finally:
        os.close(fd)
    return True


def unreadable(what: str, exc: OSError) -> RunFailed:
    """For a part of the tree that cannot be looked at."""
    if isinstance(exc, PermissionError):
        return RunFailed(
            "engine.permission",
            f"the agent may not read {what}: run it as root or give it CAP_DAC_READ_SEARCH (see deploy/shared-storage), or "
            "exclude that from the service",
        )
    return RunFailed("dump.failed", f"{what} cannot be read: {exc.strerror}")
