"""A tree in the making beside its target, and how it takes the target's place: as a whole or not at all.

Beside it means `.strongroom-restoring-<target>-<run id>` in the same directory, which then trades names with the target in
one step.  A target that cannot be renamed, since it is a mount point or its parent is not ours to write to, has that
directory inside, and its entries are moved one by one, with a way back from each step:

    restoring  the new tree in the making               ┐ killed here: the new tree goes
    replacing  the old entries are on their way out     │ killed here: they are moved back
    replaced   all old entries; the new ones move in    ┘ killed here: the new ones move out again, the old ones back

What a killed attempt left is found by the next restore to the same target: its names are known, and nobody holds its lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from agents.drivers.filesystem import exchange, exists, is_mount_point, lock, mounts_below, open_directory, remove_tree
from agents.processes import uncancelled
from contracts.errors import Conflict, RunFailed

log = structlog.get_logger()

MARK: Final = ".strongroom-"
"""What begins so in a target is ours and no part of the tree."""
_RESTORING: Final = f"{MARK}restoring-"
_REPLACING: Final = f"{MARK}replacing-"
_REPLACED: Final = f"{MARK}replaced-"
UNFINISHED: Final = (_RESTORING, _REPLACING, _REPLACED)
"""How the names of what a killed attempt leaves begin."""
_RUN_ID: Final = re.compile(r"\d{8}T\d{6}Z-[a-z0-9]+(?:-\d+)?")
"""With a number: a part of what was being removed, see `remove_tree`."""
_NOT_EMPTY: Final = {errno.ENOTEMPTY, errno.EEXIST}


class StagedTree:
    """A tree in the making, beside its target."""

    def __init__(self, target: Path, run_id: str, parent_fd: int, *, inside: bool) -> None:
        self.inside = inside
        """Whether it is made in the target instead of beside it."""
        self.parent = target if inside else target.parent
        self.path = self.parent / f"{_RESTORING}{target.name}-{run_id}"
        """An empty directory of mode 0700, for the tree; on the target's file system."""
        self._target = target
        self._parent_fd = parent_fd
        self._replacing = f"{_REPLACING}{target.name}-{run_id}"
        self._replaced = f"{_REPLACED}{target.name}-{run_id}"
        self._placed = False
        self._fd = -1
        self._times: tuple[int, int] | None = None
        """(read, changed) of the tree's root, for a target whose entries were moved."""
        self._ways_back: list[Callable[[], object]] = []
        """What undoes the steps of taking the target's place."""
        self._in_between = False  # one of those has failed

    @property
    def fd(self) -> int:
        """Of `path`, for programs that must not be led elsewhere when somebody puts a link in its place."""
        return self._fd

    async def place(self, *, replace: bool = True) -> None:
        """The tree in the target's place; what was there goes on leaving.  Either state, never between.

        Raises: Conflict `restore.target_not_empty` without `replace`, when somebody has put something there meanwhile;
        RunFailed `restore.failed`.  The target is then as it was, and so it is when a cancellation comes meanwhile.
        """
        try:
            await uncancelled(asyncio.to_thread(self._place, replace), name=f"restore:place:{self._target}")
        except asyncio.CancelledError:
            if self._placed:
                await uncancelled(asyncio.to_thread(self._take_back), name=f"restore:take-back:{self._target}")
            raise

    def make(self) -> None:
        """Raises: OSError; Conflict `restore.busy`."""
        self._clear_leftovers()
        os.mkdir(self.path.name, 0o700, dir_fd=self._parent_fd)  # if it exists, it is that of another process, and stays
        self._fd = os.open(self.path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._parent_fd)
        lock(self._fd)

    def leave(self) -> None:
        """Removes what is not needed any more: the old tree, or the unfinished one."""
        if self._fd < 0:
            return
        os.close(self._fd)
        if self._in_between:  # each old entry is still somewhere: the next restore finds them by their places
            log.error("restore.not_undone", target=str(self._target), path=str(self.path))
            return
        for name in (self.path.name, self._replaced) if self._placed else (self.path.name,):
            self._remove(name)
        if self._times is not None:
            with contextlib.suppress(PermissionError):
                os.utime(self._target, ns=self._times)

    def _place(self, replace: bool) -> None:
        try:
            made = os.fstat(self._fd)
            if not os.path.samestat(made, self._look_at(self.path.name)):
                raise RunFailed("restore.failed", f"somebody has put something else in the place of {self.path}")
            if replace and (mounted := mounts_below(self._target)):
                raise RunFailed("restore.failed", f"somebody has mounted a file system at {mounted[0]}, in the target")
            if self.inside:
                self._trade_entries(replace)
            else:
                self._trade_names(replace)
        except OSError as exc:
            if exc.errno in _NOT_EMPTY and not replace:
                raise self._not_empty() from exc
            what = f"the restored tree could not take the place of {self._target}: {exc.strerror}"
            raise RunFailed("restore.failed", what) from exc
        self._placed = True

    def _take_back(self) -> None:
        """The target as it was, and the tree where it was made."""
        with contextlib.suppress(OSError):
            self._go_back()
            self._placed, self._times = False, None

    def _go_back(self) -> None:
        self._in_between = True
        while self._ways_back:
            self._ways_back.pop()()
        self._in_between = False

    def _trade_names(self, replace: bool) -> None:
        target, path, fd = self._target.name, self.path.name, self._parent_fd
        there = exists(target, dir_fd=fd)
        if there and not stat.S_ISDIR(self._look_at(target).st_mode):
            raise RunFailed("restore.failed", f"{self._target} is no directory any more: it was left as it is")
        if not replace or not there:
            if there:
                self._ways_back.append(partial(self._make_empty, self._look_at(target)))
            self._move(path, target)  # onto nothing or an empty directory, or it fails
        elif exchange(path, target, dir_fd=fd):
            self._ways_back.append(partial(exchange, path, target, dir_fd=fd))
        else:
            self._move(target, self._replaced)
            try:
                self._move(path, target)
            except OSError:
                self._go_back()
                raise

    def _trade_entries(self, replace: bool) -> None:
        made = os.fstat(self._fd)
        ours, theirs = set(self._names(self.path.name)), self._names()
        theirs = [name for name in theirs if name != "lost+found" or name in ours]  # which every ext4 has
        if not replace and any(name not in ours or name != "lost+found" for name in theirs):
            raise self._not_empty()
        os.mkdir(self._replacing, 0o700, dir_fd=self._parent_fd)
        self._ways_back.append(partial(os.rmdir, self._replacing, dir_fd=self._parent_fd))
        try:
            for name in theirs:
                self._move(name, f"{self._replacing}/{name}")
            self._move(self._replacing, self._replaced)
            for name in sorted(ours):
                self._move(f"{self.path.name}/{name}", name)
            self._ways_back.append(partial(self._set_rights, self._target.stat()))
            self._copy_attributes()
        except OSError:
            self._go_back()
            raise
        self._times = made.st_atime_ns, made.st_mtime_ns

    def _move(self, source: str, destination: str) -> None:
        self._rename(source, destination)
        self._ways_back.append(partial(self._rename, destination, source))

    def _rename(self, source: str, destination: str) -> None:
        os.rename(source, destination, src_dir_fd=self._parent_fd, dst_dir_fd=self._parent_fd)

    def _make_empty(self, status: os.stat_result) -> None:
        os.mkdir(self._target.name, 0o700, dir_fd=self._parent_fd)
        self._set_rights(status)

    def _set_rights(self, status: os.stat_result) -> None:
        with contextlib.suppress(PermissionError):
            os.chown(self._target, status.st_uid, status.st_gid)
            self._target.chmod(stat.S_IMODE(status.st_mode))
            os.utime(self._target, ns=(status.st_atime_ns, status.st_mtime_ns))

    def _copy_attributes(self) -> None:
        """Of the tree's root to the target, as far as we may: it is another directory than the one that was restored."""
        status = os.fstat(self._fd)
        with contextlib.suppress(PermissionError):
            os.chown(self._target, status.st_uid, status.st_gid)
        with contextlib.suppress(OSError):
            for name in set(os.listxattr(self._target)) - set(os.listxattr(self.path)):
                os.removexattr(self._target, name)
        with contextlib.suppress(PermissionError):
            shutil.copystat(self.path, self._target)

    def _clear_leftovers(self) -> None:
        """Undoes or completes what attempts that were killed have begun at this target."""
        found: dict[str, set[str]] = {}
        for prefix in (_REPLACING, _REPLACED, _RESTORING):
            start = f"{prefix}{self._target.name}-"
            for name in self._names(ours=True):
                if name.startswith(start) and _RUN_ID.fullmatch(name[len(start) :]):
                    self._require_unlocked(name)
                    found.setdefault(name[len(start) :], set()).add(prefix)
        for run_id, prefixes in found.items():
            name = f"{self._target.name}-{run_id}"
            restoring, replacing, replaced = f"{_RESTORING}{name}", f"{_REPLACING}{name}", f"{_REPLACED}{name}"
            log.warning("restore.leftover_cleared", path=str(self.parent / restoring), target=str(self._target))
            if not self.inside:
                if _REPLACED in prefixes and not exists(self._target.name, dir_fd=self._parent_fd):
                    self._rename(replaced, self._target.name)
            elif _REPLACING in prefixes:
                self._move_back(replacing)
            elif prefixes >= {_REPLACED, _RESTORING} and self._names(restoring):
                for entry in self._names():
                    if entry != "lost+found" or exists(f"{replaced}/{entry}", dir_fd=self._parent_fd):
                        self._rename(entry, f"{restoring}/{entry}")
                self._move_back(replaced)
            for prefix in prefixes:
                self._remove(f"{prefix}{name}")

    def _move_back(self, directory: str) -> None:
        for entry in self._names(directory):
            self._rename(f"{directory}/{entry}", entry)

    def _require_unlocked(self, name: str) -> None:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._parent_fd)
        try:
            if not lock(fd):
                raise Conflict("restore.busy", f"another restore to {self._target} is under way, see {self.parent / name}")
        finally:
            os.close(fd)

    def _names(self, directory: str = ".", *, ours: bool = False) -> list[str]:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._parent_fd)
        try:
            with os.scandir(fd) as entries:
                return [entry.name for entry in entries if entry.name.startswith(MARK) == ours]
        finally:
            os.close(fd)

    def _look_at(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._parent_fd, follow_symlinks=False)

    def _remove(self, name: str) -> None:
        if not exists(name, dir_fd=self._parent_fd):
            return
        path = self.parent / name

        def failed(what: str, exc: OSError) -> None:
            log.error("restore.left_behind", path=str(path), what=what, error=exc.strerror)

        if mounted := mounts_below(path):  # whose data nobody has asked to remove
            failed(str(mounted[0]), OSError(errno.EBUSY, "a file system is mounted there"))
            return
        remove_tree(name, dir_fd=self._parent_fd, failed=failed)

    def _not_empty(self) -> Conflict:
        return Conflict(
            "restore.target_not_empty", f"somebody has put something into {self._target} meanwhile: it was left as it is"
        )


@asynccontextmanager
async def staged_tree(target: Path, run_id: str) -> AsyncIterator[StagedTree]:
    """Room for a tree beside `target`, whose parent must exist; leaving without `place` removes it.

    `target` is as `choose_directory` gives it, without symbolic links.
    Raises: RunFailed `restore.failed` when nothing can be made there; Conflict `restore.busy`.
    """
    may_be_renamed = os.access(target.parent, os.W_OK | os.X_OK, effective_ids=True) and not is_mount_point(target)
    inside = target.is_dir() and not may_be_renamed
    parent = target if inside else target.parent
    try:
        parent_fd = open_directory(parent)
    except OSError as exc:
        raise RunFailed("restore.failed", f"{parent} cannot be opened: {exc.strerror}") from exc
    tree = StagedTree(target, run_id, parent_fd, inside=inside)
    try:
        try:
            await uncancelled(asyncio.to_thread(tree.make), name=f"restore:stage:{target}")
        except OSError as exc:
            raise RunFailed("restore.failed", f"{tree.path} cannot be made: {exc.strerror}") from exc
        yield tree
    finally:
        try:
            await uncancelled(asyncio.to_thread(tree.leave), name=f"restore:leave:{target}")
        finally:
            os.close(parent_fd)
