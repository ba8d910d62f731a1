"""Directories that restores fill: which may be chosen, and how a whole tree comes into its place or not at all.

The coordinator names a directory, but the host decides: only `restore_dir` of the service's file and what is below it can
be named.  Whoever may ask for restores must not thereby be able to write anywhere on a database's host.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from agents.processes import uncancelled
from contracts.errors import Conflict, InvalidInput, RunFailed

log = structlog.get_logger()

_MARK: Final = ".strongroom-"


def choose_directory(wanted: str, *, restore_dir: str, default: str = "") -> Path:
    """The absolute directory that a restore goes to: `wanted` below `restore_dir`, or `default` when none is wanted.

    Raises: InvalidInput `input.invalid` for `directory`; RunFailed `restore.failed` when this host allows none.
    """
    if not wanted:
        if default:
            return Path(default)
        raise InvalidInput(
            "input.invalid", "this kind of backup is restored into a directory: name one with --directory", field="directory"
        )
    if not restore_dir:
        raise RunFailed(
            "restore.failed",
            "this host lets restores choose no directory: set restore_dir in the service's file there to the directory "
            "below which they may",
        )
    root = Path(os.path.realpath(restore_dir))
    path = Path(wanted) if Path(wanted).is_absolute() else root / wanted
    # The parent as it really is: a symbolic link below the root must not lead out of it.
    real = Path(os.path.realpath(path.parent)) / path.name
    if path.name in ("", ".", "..") or not real.is_relative_to(root) or real == root:
        raise InvalidInput(
            "input.invalid",
            f"directory: {wanted!r} is not below {restore_dir}, where this host allows restores",
            field="directory",
        )
    return real


def require_free(directory: Path, *, replace: bool) -> None:
    """Raises: Conflict `restore.target_not_empty`; RunFailed `restore.failed` for what is no directory, or out of reach."""
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return
    except OSError as exc:
        raise RunFailed("restore.failed", f"{directory} cannot be looked at: {exc.strerror}") from exc
    if not directory.is_dir() or directory.is_symlink():
        del status
        raise RunFailed("restore.failed", f"{directory} is no directory: remove it, or name another with --directory")
    try:
        is_empty = not any(entry for entry in os.scandir(directory) if not entry.name.startswith(_MARK))
    except OSError as exc:
        raise RunFailed("restore.failed", f"{directory} cannot be read: {exc.strerror}") from exc
    if not is_empty and not replace:
        raise Conflict(
            "restore.target_not_empty",
            f"{directory} is not empty: restore with --replace to lose what is there, or into another with --directory",
        )


class StagedTree:
    """A tree in the making, beside its target."""

    def __init__(self, target: Path, staging: Path, *, inside: bool) -> None:
        self.path = staging
        """An empty directory of mode 0700, for the tree; on the target's file system."""
        self._target = target
        self._inside = inside
        self._old = staging.with_name(staging.name.replace("restoring", "replaced"))
        self._placed = False

    async def place(self) -> None:
        """The tree in the target's place; what was there is gone.  Not to be interrupted: either state, never between.

        Raises: RunFailed `restore.failed`; the target is then as it was.
        """
        await uncancelled(asyncio.to_thread(self._place), name=f"restore:place:{self._target}")

    def _place(self) -> None:
        try:
            if self._inside:
                self._swap_entries()
            else:
                self._swap()
        except OSError as exc:
            what = f"the restored tree could not take the place of {self._target}: {exc.strerror}"
            raise RunFailed("restore.failed", what) from exc
        self._placed = True

    def _swap(self) -> None:
        had_one = self._target.exists()
        if had_one:
            self._target.rename(self._old)
        try:
            self.path.rename(self._target)
        except OSError:
            if had_one:
                self._old.rename(self._target)
            raise

    def _swap_entries(self) -> None:
        """For a mount point, which cannot be renamed: entry by entry, and back again if one cannot be moved."""
        moved: list[tuple[Path, Path]] = []
        self._old.mkdir(mode=0o700)
        try:
            for entry in self._entries(self._target):
                moved.append((entry, self._old / entry.name))
                entry.rename(self._old / entry.name)
            for entry in self._entries(self.path):
                moved.append((entry, self._target / entry.name))
                entry.rename(self._target / entry.name)
        except OSError:
            for source, destination in reversed(moved):
                if destination.exists() or destination.is_symlink():
                    destination.rename(source)
            raise
        status = self.path.stat()
        os.chmod(self._target, status.st_mode & 0o7777)  # noqa: PTH101
        os.chown(self._target, status.st_uid, status.st_gid)

    def _entries(self, directory: Path) -> list[Path]:
        return [entry for entry in directory.iterdir() if not entry.name.startswith(_MARK)]

    def leave(self) -> None:
        """Removes what is not needed any more: the old tree, or the unfinished one."""
        for path in (self._old, self.path) if self._placed else (self.path,):
            if path.exists():
                shutil.rmtree(path, onerror=lambda *failure: log.error("restore.left_behind", path=str(failure[1])))


@asynccontextmanager
async def staged_tree(target: Path, run_id: str) -> AsyncIterator[StagedTree]:
    """Room for a tree beside `target`, whose parent must exist; leaving without `place` removes it.

    Raises: RunFailed `restore.failed` when nothing can be made there.
    """
    inside = target.is_mount()
    parent = target if inside else target.parent
    staging = parent / f"{_MARK}restoring-{target.name}-{run_id}"
    try:
        if staging.exists():  # of an attempt that was killed
            await asyncio.to_thread(shutil.rmtree, staging)
        staging.mkdir(mode=0o700)
    except OSError as exc:
        raise RunFailed("restore.failed", f"{staging} cannot be made: {exc.strerror}") from exc
    tree = StagedTree(target, staging, inside=inside)
    try:
        yield tree
    finally:
        await uncancelled(asyncio.to_thread(tree.leave), name=f"restore:leave:{target}")
