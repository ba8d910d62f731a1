"""Tar taking an archive in, into a directory that nobody else uses; both kinds of restore begin with it."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from agents.drivers.base import Confirm
from agents.drivers.directories import StagedTree
from agents.drivers.programs import ProgramRestore
from agents.drivers.shared_storage.complaints import LINK_MISSING, NOT_FOUND, OTHER, Complaints
from agents.processes import Child, ExitStatus
from contracts.errors import RunFailed

_CAP_CHOWN: Final = 0
"""See capabilities(7)."""
_SOME_FAILED: Final = 2
"""Tar's exit status when it could not do all it was told."""
_SET_ID: Final = stat.S_ISUID | stat.S_ISGID

NO_OWNERS: Final = (
    "owners and groups were not restored, since the agent may not give files away: everything belongs to the user that it "
    "runs as, without set-user-ID bits; run it as root or give it CAP_CHOWN (see deploy/shared-storage)"
)


def may_give_away() -> bool:
    """Whether this process may give files to other users."""
    try:
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        return os.geteuid() == 0
    effective = next(line for line in status.splitlines() if line.startswith(b"CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_CHOWN & 1)


class TarRestore(ProgramRestore):
    """`RestoreSink` of a tar that reads the archive."""

    def __init__(self, child: Child, complaints: Complaints, tree: StagedTree, *, owners: bool, confirm: Confirm) -> None:
        super().__init__(child, confirm)
        self._complaints = complaints
        self._tree = tree
        self._owners = owners
        self._warnings: list[str] = []

    def wanted(self) -> Sequence[frozenset[str]]:
        """For each single path that is wanted its possible names in the archive, as `names.readable` gives them."""
        return ()

    async def accept(self, status: ExitStatus) -> None:
        """Raises: RunFailed `restore.failed` for an archive that was not taken in as a whole."""
        if not status.ok:
            self._fail_unless_only_other_notations(status, self.wanted())
        other = self._complaints[OTHER]
        self._warnings = [f"tar warned: {other.text}"] if other.count else []
        if not self._owners:
            await asyncio.to_thread(_drop_set_id, self._tree.fd)
            self._warnings.append(NO_OWNERS)

    def _fail_unless_only_other_notations(self, status: ExitStatus, wanted: Sequence[frozenset[str]]) -> None:
        detail = self._child.stderr or None
        not_found, links = self._complaints[NOT_FOUND], self._complaints[LINK_MISSING]
        absent = [min(names) for names in wanted if names <= set(not_found.names)]
        if absent:
            raise RunFailed(
                "restore.failed",
                f"the backup has no {', '.join(absent)}: name paths as tar --list --quoting-style=escape lists them",
            )
        if links.count:
            raise RunFailed(
                "restore.failed",
                f"{links.text} is one of several names of a file whose content is under another name in the archive "
                f"({links.words.partition(' to ')[2].partition(':')[0]}): restore that one together with it",
                detail=detail,
            )
        if not (self._complaints.only(NOT_FOUND) and status.code == _SOME_FAILED):
            raise RunFailed("restore.failed", f"tar {status} while it took the archive in", detail=detail)


def _drop_set_id(directory_fd: int) -> None:
    """A program that ran as its owner must not run as the agent now.  The directory is nobody's but ours."""
    directories = ["."]
    while directories:
        directory = directories.pop()
        try:
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory_fd)
        except OSError:  # closed to its own owner, or beyond any path's length: nobody gets there
            continue
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        directories.append(f"{directory}/{entry.name}")
                    elif entry.is_file(follow_symlinks=False):
                        mode = entry.stat(follow_symlinks=False).st_mode
                        if mode & _SET_ID:
                            os.chmod(entry.name, stat.S_IMODE(mode) & ~_SET_ID, dir_fd=fd)
        finally:
            os.close(fd)
