"""Directories that restores fill: which may be chosen, and how a whole tree comes into its place or not at all.

The coordinator names a directory, but the host decides: only what is below `restore_dir` of the service's file can be
named.  Whoever may ask for restores must not thereby be able to write anywhere on a database's host.

    choose_directory ─▶ require_free ─▶ staged_tree ─▶ (the tree is made in `path`) ─▶ place
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from agents.drivers.filesystem import is_mount_point, mounts_below
from agents.drivers.staging import MARK, StagedTree, staged_tree
from contracts.errors import Conflict, InvalidInput, RunFailed

__all__ = ["StagedTree", "choose_directory", "free_bytes", "require_free", "staged_tree"]

_MADE_BY_MKFS: Final = "lost+found"


def choose_directory(wanted: str, *, restore_dir: str, default: str = "") -> Path:
    """Where a restore goes: `wanted` below `restore_dir`, or `default` when none is wanted.

    Absolute and without symbolic links, but for the last part of what was wanted, which `require_free` refuses if it is one.
    Raises: InvalidInput `input.invalid` for `directory`; RunFailed `restore.failed` when this host allows none.
    """
    if not wanted:
        if default:
            return Path(os.path.realpath(default))
        raise InvalidInput(
            "input.invalid", "this kind of backup is restored into a directory: name one with --directory", field="directory"
        )
    if not restore_dir:
        raise RunFailed(
            "restore.failed",
            "this host lets restores choose no directory: set restore_dir in the service's file there to the directory "
            "below which they may",
        )
    if not _is_file_name(wanted):
        raise InvalidInput("input.invalid", f"directory: {wanted!r} is no file name", field="directory")
    root = Path(os.path.realpath(restore_dir))
    path = root / wanted
    # The parent as it really is: a symbolic link below the root must not lead out of it.
    real = Path(os.path.realpath(path.parent)) / path.name
    if path.name in ("", ".", "..") or path.name.startswith(MARK) or not real.is_relative_to(root) or real == root:
        raise InvalidInput(
            "input.invalid",
            f"directory: {wanted!r} is not below {restore_dir}, where this host allows restores",
            field="directory",
        )
    return real


def _is_file_name(text: str) -> bool:
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:  # half a surrogate pair
        return False


def require_free(directory: Path, *, replace: bool) -> None:
    """What is at `directory` may be lost: it does not exist, is empty, or `replace` was said.

    Raises: Conflict `restore.target_not_empty`; RunFailed `restore.failed` for what is no directory, is out of reach, has
    no parent, or has other file systems mounted in it, whose data would go with it.
    """
    try:
        mode = directory.lstat().st_mode
        if not stat.S_ISDIR(mode):
            what = "a symbolic link" if stat.S_ISLNK(mode) else "a file"
            raise RunFailed(
                "restore.failed", f"{directory} is {what} and no directory: remove it, or name another with --directory"
            )
        is_empty = _is_empty(directory)
    except FileNotFoundError:
        _require_parent(directory)
        return
    except OSError as exc:
        raise RunFailed("restore.failed", f"{directory} cannot be looked at: {exc.strerror}") from exc
    if is_empty:
        return
    if not replace:
        raise not_empty(directory)
    if inside := mounts_below(directory):
        raise RunFailed(
            "restore.failed",
            f"{directory} cannot be replaced while another file system is mounted in it, at {inside[0]}: unmount that, or "
            "restore into another directory",
        )


def free_bytes(directory: Path) -> int:
    """Of the file system that a restore to `directory` fills: its own, if it is mounted there, else that around it.

    Raises: RunFailed `restore.failed`.
    """
    place = directory if directory.is_dir() else directory.parent
    try:
        return shutil.disk_usage(place).free
    except OSError as exc:
        raise RunFailed("restore.failed", f"the room in {place} cannot be looked at: {exc.strerror}") from exc


def not_empty(directory: Path) -> Conflict:
    return Conflict(
        "restore.target_not_empty",
        f"{directory} is not empty: restore with --replace to lose what is there, or into another with --directory",
    )


def _is_empty(directory: Path) -> bool:
    with os.scandir(directory) as entries:
        names = {entry.name for entry in entries if not entry.name.startswith(MARK)}
    if names == {_MADE_BY_MKFS} and is_mount_point(directory):
        return not any((directory / _MADE_BY_MKFS).iterdir())
    return not names


def _require_parent(directory: Path) -> None:
    if not directory.parent.is_dir():
        raise RunFailed(
            "restore.failed", f"{directory.parent} does not exist or is no directory: make it, {directory.name} goes into it"
        )
