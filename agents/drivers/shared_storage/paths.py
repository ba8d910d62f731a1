"""Restoring single paths into a tree that stays: each takes its place by a rename, and all go back if one cannot.

They are extracted beside the tree first, with the directories above them; where such a directory is missing in the tree it
comes along.  No symbolic link of the tree is followed on the way to a path's place.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from agents.drivers.base import Confirm
from agents.drivers.directories import StagedTree, staged_tree
from agents.drivers.filesystem import exchange, mounts_below, open_directory, rename_new
from agents.drivers.shared_storage.complaints import Complaints
from agents.drivers.shared_storage.extraction import TarRestore, may_give_away
from agents.drivers.shared_storage.names import readable
from agents.drivers.shared_storage.selection import MAX_PATHS, WantedPath, selecting
from agents.drivers.shared_storage.tar import Tar
from agents.processes import Child, start, uncancelled
from contracts.errors import Conflict, RunFailed
from contracts.records import Attributes

log = structlog.get_logger()


@dataclass(frozen=True)
class _Move:
    """Something that was put in place."""

    parent: tuple[str, ...]
    name: str
    replaced: bool


class PathsRestore(TarRestore):
    """`RestoreSink` of single paths."""

    def __init__(
        self,
        child: Child,
        complaints: Complaints,
        tree: StagedTree,
        target: Path,
        wanted: Sequence[WantedPath],
        *,
        owners: bool,
        replace: bool,
        confirm: Confirm,
    ) -> None:
        super().__init__(child, complaints, tree, owners=owners, confirm=confirm)
        self._target = target
        self._wanted = wanted
        self._replace = replace
        self._done: list[_Move] = []

    def wanted(self) -> Sequence[frozenset[str]]:
        return [each.in_messages for each in self._wanted]

    async def place(self) -> Attributes:
        """Raises: RunFailed `restore.failed`, Conflict `restore.target_not_empty`."""
        if self._target.exists():
            await self._place_all()
        else:
            await self._tree.place(replace=False)
        paths = [each.text for each in self._wanted]
        return {"in_place": str(self._target), "paths": paths, "warnings": self._warnings}

    async def _place_all(self) -> None:
        """All of them or none, also when a cancellation comes meanwhile."""
        try:
            await uncancelled(asyncio.to_thread(self._place), name=f"restore:place:{self._target}")
        except asyncio.CancelledError:
            await uncancelled(asyncio.to_thread(self._take_back), name=f"restore:take-back:{self._target}")
            raise

    def _place(self) -> None:
        try:
            for each in self._wanted:
                for name in each.names:
                    self._place_one(name)
        except (OSError, Conflict, RunFailed) as exc:
            self._take_back()
            if isinstance(exc, OSError):
                where = f"{exc.filename2 or exc.filename or ''}: {exc.strerror}"
                raise RunFailed("restore.failed", f"a restored path could not be put into {self._target}: {where}") from exc
            raise

    def _take_back(self) -> None:
        while self._done:
            self._undo(self._done.pop())

    def _place_one(self, name: str) -> None:
        parts = tuple(name.split("/"))
        if not self._is_staged(parts):
            return  # the notation that was not meant, or it came along with a directory above it
        for depth in range(1, len(parts) + 1):
            parent, last = parts[: depth - 1], parts[depth - 1]
            with _opened(self._target, parent) as target_fd, _opened(self._tree.fd, parent) as staged_fd:
                there = _kind(last, target_fd)
                if there is None:
                    rename_new(last, last, src_dir_fd=staged_fd, dst_dir_fd=target_fd)
                    self._done.append(_Move(parent, last, replaced=False))
                    return
                if depth == len(parts):
                    if not self._replace:
                        raise occupied(self._target, [name])
                    require_no_mounts(self._target / name)
                    self._exchange(last, staged_fd, target_fd)
                    self._done.append(_Move(parent, last, replaced=True))
                elif not stat.S_ISDIR(there):
                    raise blocked(self._target, "/".join(parts[:depth]))

    def _is_staged(self, parts: tuple[str, ...]) -> bool:
        try:
            with _opened(self._tree.fd, parts[:-1]) as fd:
                return _kind(parts[-1], fd) is not None
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _exchange(self, name: str, staged_fd: int, target_fd: int) -> None:
        if exchange(name, name, dir_fd=staged_fd, second_dir_fd=target_fd):
            return
        aside = f"{name[:50]}.strongroom-replaced"
        os.rename(name, aside, src_dir_fd=target_fd, dst_dir_fd=staged_fd)
        try:
            rename_new(name, name, src_dir_fd=staged_fd, dst_dir_fd=target_fd)
        except OSError:
            rename_new(aside, name, src_dir_fd=staged_fd, dst_dir_fd=target_fd)
            raise
        os.rename(aside, name, src_dir_fd=staged_fd, dst_dir_fd=staged_fd)

    def _undo(self, move: _Move) -> None:
        try:
            with _opened(self._target, move.parent) as target_fd, _opened(self._tree.fd, move.parent) as staged_fd:
                if move.replaced:
                    self._exchange(move.name, staged_fd, target_fd)
                else:
                    os.rename(move.name, move.name, src_dir_fd=target_fd, dst_dir_fd=staged_fd)
        except OSError as exc:
            path = readable("/".join((*move.parent, move.name)))
            log.error("restore.not_undone", target=str(self._target), path=path, error=exc.strerror)


@contextlib.contextmanager
def _opened(root: Path | int, parts: Sequence[str]) -> Iterator[int]:
    """A descriptor of a directory below the root, no symbolic link followed."""
    fd = open_directory(root) if isinstance(root, Path) else os.open(".", os.O_PATH, dir_fd=root)
    try:
        for part in parts:
            below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def _kind(name: str, dir_fd: int) -> int | None:
    """The mode of what is there."""
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def require_places(target: Path, wanted: Sequence[WantedPath], *, replace: bool) -> None:
    """Raises: Conflict `restore.target_not_empty` for paths that exist; RunFailed where there is no way to their place."""
    existing = []
    for each in wanted:
        for name in each.names:
            parts = name.split("/")
            for depth in range(1, len(parts)):
                above = target.joinpath(*parts[:depth])
                if above.is_symlink() or (above.exists() and not above.is_dir()):
                    raise blocked(target, "/".join(parts[:depth]))
            if os.path.lexists(target / name):
                existing.append(name)
                if replace:
                    require_no_mounts(target / name)
    if existing and not replace:
        raise occupied(target, existing)


def require_no_mounts(path: Path) -> None:
    if mounted := mounts_below(path):
        raise RunFailed(
            "restore.failed",
            f"{readable(str(path))} cannot be replaced while a file system is mounted in it, at {mounted[0]}: unmount that, "
            "or restore into another directory",
        )


def occupied(target: Path, names: Sequence[str]) -> Conflict:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    listed = ", ".join(map(readable, names[:5]))
    return Conflict(
        "restore.target_not_empty",
        f"{target} has {listed}{more} already: restore with --replace to lose what is there, or into another directory with "
        "--directory",
    )


def blocked(target: Path, name: str) -> RunFailed:
    return RunFailed(
        "restore.failed",
        f"{readable(name)} in {target} is a link or file and no directory: nothing is restored through it; remove it, or "
        "restore into another directory with --directory",
    )


@asynccontextmanager
async def restore_paths(
    tar: Tar, target: Path, wanted: Sequence[WantedPath], run_id: str, *, replace: bool, confirm: Confirm
) -> AsyncIterator[PathsRestore]:
    """The restore under way; leaving it before `finish` returned leaves the target as it was."""
    owners = may_give_away()
    async with staged_tree(target, run_id) as tree:
        complaints = Complaints(tar.program, max_names=2 * MAX_PATHS)
        with selecting(wanted) as (arguments, lists):
            command = tar.extract(tree.fd, owners=owners, only=arguments, pass_fds=lists, hear=complaints.hear)
            async with start(command, stdin=True) as child:
                yield PathsRestore(child, complaints, tree, target, wanted, owners=owners, replace=replace, confirm=confirm)
