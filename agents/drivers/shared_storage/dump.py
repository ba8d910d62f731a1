"""The dump: tar writes, and what it says decides whether the archive is whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from agents.drivers.base import PlannedArtifact
from agents.drivers.programs import ProgramDump
from agents.drivers.shared_storage.archived import Archived, Listener, listening
from agents.drivers.shared_storage.complaints import (
    CHANGED,
    DENIED,
    IGNORED,
    OTHER,
    REMOVED,
    SHRUNK,
    SOCKET,
    UNREADABLE,
    Complaints,
)
from agents.drivers.shared_storage.connection import SharedStorageConnection
from agents.drivers.shared_storage.exclusion import Exclusion
from agents.drivers.shared_storage.planning import HOLES
from agents.drivers.shared_storage.root import FileID, look_at_root
from agents.drivers.shared_storage.tar import find_tar
from agents.processes import Child, start
from contracts.errors import RunFailed
from contracts.services import SharedStorageOptions

_BLOCK: Final = 512
_END_MARK: Final = bytes(2 * _BLOCK)
_SOME_DIFFER: Final = 1
"""Tar's exit status when files changed, shrank or went away while it read them."""


class TarDump(ProgramDump):
    """`DumpSource` of a tree."""

    def __init__(
        self,
        child: Child,
        complaints: Complaints,
        listener: Listener,
        root: str,
        began_with: FileID,
        *,
        changed_limit: int,
        ended: Callable[[Archived], None],
    ) -> None:
        super().__init__(child)
        self._listener = listener
        self._ended = ended
        self._began_with = began_with
        self._complaints = complaints
        self._root = root
        self._changed_limit = changed_limit

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        """Raises: RunFailed `dump.failed`, `dump.incomplete`, `engine.permission`, `engine.unreachable`."""
        del head
        status = await self.exit_status()
        if status.code not in (0, _SOME_DIFFER):
            raise self._failure(str(status))
        same = await look_at_root(self._root) == self._began_with  # or it was unmounted or moved away under tar's hands
        ends = plain_bytes % _BLOCK == 0 and tail.endswith(_END_MARK)
        self.require_whole("archive", "" if ends else "it has no end")
        self._ended(self._listener.finish())
        switched = f"{self._root} became another directory meanwhile: the backup has the one that was there when it began"
        return self._warnings() + ([] if same else [switched])

    def _failure(self, how: str) -> RunFailed:
        denied, unreadable = self._complaints[DENIED], self._complaints[UNREADABLE]
        detail = self._child.stderr or None
        if unreadable.count:
            return RunFailed(
                "dump.failed", f"tar could not read {unreadable.text} below {self._root}: {unreadable.words}", detail=detail
            )
        if denied.count:
            return RunFailed(
                "engine.permission",
                f"the agent may not read {denied.text} below {self._root}: run it as root or give it CAP_DAC_READ_SEARCH "
                "(see deploy/shared-storage), or exclude that from the service",
                detail=detail,
            )
        return RunFailed("dump.failed", f"tar {how} while it read {self._root}", detail=detail)

    def _warnings(self) -> list[str]:
        changed, removed, shrunk = (self._complaints[sort] for sort in (CHANGED, REMOVED, SHRUNK))
        total = changed.count + removed.count + shrunk.count
        if total > self._changed_limit:
            raise RunFailed(
                "dump.failed",
                f"{total} files changed while they were read, which is more than changed_limit allows "
                f"({self._changed_limit}): back up a snapshot of the file system, or at a quieter time, or allow more; "
                f"among them {(changed if changed.count else removed if removed.count else shrunk).text}",
                detail=self._child.stderr or None,
            )
        said = (
            (shrunk, "got shorter while they were read and are damaged in this backup, filled up with zeros"),
            (changed, "changed while they were read, and may be neither as before nor as after"),
            (removed, "were removed before they were read, and are not in this backup"),
            (self._complaints[SOCKET], "are sockets, which no archive can hold"),
            (self._complaints[IGNORED], "were left out as something that no archive can hold"),
        )
        warnings = [f"files that {what}: {named.text}" for named, what in said if named.count]
        other = self._complaints[OTHER]
        return warnings + ([f"tar warned: {other.text}"] if other.count else [])


@asynccontextmanager
async def start_dump(
    connection: SharedStorageConnection,
    options: SharedStorageOptions,
    artifact: PlannedArtifact,
    ended: Callable[[Archived], None],
) -> AsyncIterator[TarDump]:
    """The dump under way; leaving ends tar.  `ended` is told what is in it once it is whole.

    Raises: RunFailed `engine.*`.
    """
    began_with = await look_at_root(connection.root_dir)
    tar = await find_tar(connection.bin_dir)
    complaints = Complaints(tar.program)
    with listening() as listener:
        command = tar.create(
            connection.root_dir,
            Exclusion(options.exclude),
            one_file_system=options.one_file_system,
            holes=bool(artifact.attributes.get(HOLES, True)),
            list_fd=listener.fd,
            hear=complaints.hear,
        )
        async with start(command, stdout=True) as child:
            yield TarDump(
                child,
                complaints,
                listener,
                connection.root_dir,
                began_with,
                changed_limit=options.changed_limit,
                ended=ended,
            )
