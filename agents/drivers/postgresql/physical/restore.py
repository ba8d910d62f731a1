"""Restoring a data directory: unpacked beside its place, verified, and only then put there.

    writer ─▶ tar ─▶ .strongroom-restoring-main-… ─▶ pg_verifybackup ─▶ main

No server is needed, and none is started: when and how is an administrator's decision, about which the outcome says all.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from agents.drivers.base import Confirm, confirmed
from agents.drivers.directories import StagedTree, choose_directory, free_bytes, require_free, staged_tree
from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.errors import warnings_in
from agents.drivers.postgresql.physical.attributes import ClusterAttributes, parse_attributes
from agents.drivers.postgresql.physical.verify import require_parts, verify_backup
from agents.drivers.postgresql.server_user import ServerUser, passed_path, server_user
from agents.drivers.programs import ProgramRestore
from agents.processes import Child, Command, ExitStatus, run, start
from contracts.errors import InvalidInput, RunFailed
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

log = structlog.get_logger()

_SIGNALS: Final = ("standby.signal", "recovery.signal")
_SYNC_TIMEOUT_S: Final = 1800.0
_SPARE: Final = 1.05
"""Of room, over what the archive holds."""


def check_physical_restore(
    connection: PostgreSQLConnection, artifacts: Sequence[ArtifactRecord], target: RestoreTarget
) -> None:
    """Raises: InvalidInput, Conflict `restore.target_not_empty`, RunFailed `restore.failed`, `engine.*`."""
    (artifact, *others) = artifacts
    if others:
        kinds = " and ".join(sorted({one.kind for one in artifacts}))
        raise InvalidInput("input.invalid", f"artifacts: {kinds} cannot be restored together", field="artifacts")
    if target.rename:
        raise InvalidInput(
            "input.invalid", "rename: a data directory is restored as it is: name its place with --directory", field="rename"
        )
    parse_attributes(artifact)
    directory = choose_directory(target.directory, restore_dir=connection.restore_dir)
    require_unused(directory, replace=target.replace)
    server_user(directory, directory.parent)
    _require_room(directory, artifact)


def require_unused(directory: Path, *, replace: bool) -> None:
    """Raises: Conflict `restore.target_not_empty`; RunFailed `restore.failed` while a server runs on it."""
    pid = running_server(directory)
    if pid is not None:
        raise RunFailed(
            "restore.failed",
            f"a server runs on {directory} (process {pid}): stop it first, or restore into another with --directory",
        )
    require_free(directory, replace=replace)


def running_server(directory: Path) -> int | None:
    """The process of the server that has this data directory, as far as we may know.

    A server works in its data directory.  The number that it has noted there is another one than ours if it runs in a
    container, and so may be the directory's path.
    """
    try:
        noted = (directory / "postmaster.pid").read_text().splitlines()
        there = directory.stat()
    except (OSError, ValueError):
        return None
    with suppress(ValueError, IndexError):
        pid = abs(int(noted[0]))  # negative: without a postmaster
        if _works_in(pid, there) is not False:
            return pid
    return next((pid for pid in _processes() if _works_in(pid, there)), None)


def _processes() -> list[int]:
    return sorted(int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal())


def _works_in(pid: int, directory: os.stat_result) -> bool | None:
    """None when there is such a process, but we may not know."""
    try:
        return os.path.samestat(Path(f"/proc/{pid}/cwd").stat(), directory)
    except PermissionError:
        return None
    except OSError:
        return False


class PhysicalRestore(ProgramRestore):
    """`RestoreSink` of the whole cluster."""

    def __init__(
        self,
        child: Child,
        tree: StagedTree,
        *,
        artifact: ArtifactRecord,
        directory: Path,
        replace: bool,
        bin_dir: str,
        user: ServerUser,
        confirm: Confirm,
    ) -> None:
        super().__init__(child, confirm)
        self._tree = tree
        self._artifact = artifact
        self._directory = directory
        self._replace = replace
        self._bin_dir = bin_dir
        self._user = user
        self._warnings: list[str] = []
        self._was_replica = False

    async def accept(self, status: ExitStatus) -> None:
        """Raises: Corrupt `artifact.corrupt`; RunFailed `restore.failed`."""
        if not status.ok:
            raise _unpacking_failed(str(status), self._child.stderr, self._directory)
        require_parts(self._tree.path, self._artifact.name)
        self._warnings = warnings_in(self._child.stderr, "tar")
        path = passed_path(self._tree.fd)
        self._warnings += await verify_backup(
            path,
            self._tree.fd,
            name=self._artifact.name,
            bin_dir=self._bin_dir,
            server_major=parse_attributes(self._artifact).server_major,
            user=self._user,
        )
        self._was_replica = self._remove_signals()
        await _make_durable(path, self._tree.fd)

    async def place(self) -> Attributes:
        """Raises: Conflict `restore.target_not_empty`; RunFailed `restore.failed`."""
        require_unused(self._directory, replace=self._replace)
        await self._tree.place(replace=self._replace)
        attributes = parse_attributes(self._artifact)
        advice = _advise(self._directory, attributes, self._user, was_replica=self._was_replica, bin_dir=self._bin_dir)
        log.info("restore.in_place", directory=str(self._directory))
        return {
            "in_place": str(self._directory),
            "server_version": attributes.server_version,
            "warnings": self._warnings + advice,
        }

    def _remove_signals(self) -> bool:
        """Taken on a replica, it would follow the primary as soon as it is started, instead of being what was restored."""
        found = [self._tree.path / name for name in _SIGNALS if (self._tree.path / name).exists()]
        for path in found:
            path.unlink()
        return bool(found)


@asynccontextmanager
async def start_physical_restore(
    connection: PostgreSQLConnection,
    artifact: ArtifactRecord,
    target: RestoreTarget,
    run_id: str,
    confirm: Confirm = confirmed,
) -> AsyncIterator[PhysicalRestore]:
    """Unpacks beside the target.  Raises: InvalidInput, Conflict, RunFailed `restore.failed`, `engine.tool_missing`."""
    directory = choose_directory(target.directory, restore_dir=connection.restore_dir)
    user = server_user(directory, directory.parent)
    async with staged_tree(directory, run_id) as tree:
        user.give(tree.fd)
        command = Command(
            # As the user who is to own it, whoever owned it on its host, and with no more rights than that user's.
            argv=user.argv(["tar", "--extract", "--file=-", f"--directory={passed_path(tree.fd)}", "--no-same-owner"]),
            package="tar",
            pass_fds=(tree.fd,),
        )
        async with start(command, stdin=True) as child:
            yield PhysicalRestore(
                child,
                tree,
                artifact=artifact,
                directory=directory,
                replace=target.replace,
                bin_dir=connection.bin_dir,
                user=user,
                confirm=confirm,
            )


def _require_room(directory: Path, artifact: ArtifactRecord) -> None:
    free = free_bytes(directory)
    if artifact.plain_bytes * _SPARE > free:
        needed, there = artifact.plain_bytes / 1e9, free / 1e9
        raise RunFailed(
            "restore.failed",
            f"the file system of {directory} has {there:.1f} GB free, and the data directory takes {needed:.1f} GB beside "
            "what is there: make room, or restore into another directory",
        )


def _unpacking_failed(status: str, words: str, directory: Path) -> RunFailed:
    what = f"tar {status} while unpacking beside {directory}"
    if "No space left on device" in words or "Disk quota exceeded" in words:
        return RunFailed("restore.failed", f"{what}: there is no room left", detail=words)
    if "Unexpected EOF" in words:
        return RunFailed("restore.failed", f"{what}: the archive ends in the middle", detail=words)
    return RunFailed("restore.failed", f"{what}: see its words below", detail=words or None)


async def _make_durable(directory: str, fd: int) -> None:
    """What is in place must still be there after a power failure."""
    command = Command(argv=["sync", "--file-system", directory], package="coreutils", pass_fds=(fd,))
    try:
        finished = await run(command, timeout_s=_SYNC_TIMEOUT_S)
    except TimeoutError:
        raise RunFailed("restore.failed", f"the disk did not take all within {_SYNC_TIMEOUT_S:g} s") from None
    if not finished.status.ok:
        raise RunFailed("restore.failed", "the unpacked backup could not be written to the disk", detail=finished.stderr)


def _advise(
    directory: Path, attributes: ClusterAttributes, user: ServerUser, *, was_replica: bool, bin_dir: str
) -> list[str]:
    """What whoever starts it has to know."""
    major = attributes.server_major
    program = f"{bin_dir or f'/usr/lib/postgresql/{major}/bin'}/pg_ctl"
    command = f"{program} -D {shlex.quote(str(directory))} start"
    advice = [f"nothing was started: as user {user.name}, start it with PostgreSQL {major}, such as by {command}"]
    if not attributes.has_configuration:
        advice.append(
            "postgresql.conf and pg_hba.conf lay outside of the data directory and are not in the backup: start it with "
            "-o '-c config_file=…', or with the configuration of a cluster made by pg_createcluster"
        )
    if was_replica:
        advice.append(
            "the backup is a replica's: its standby.signal was removed, so that it starts as a primary of its own; "
            "make it again if it is to follow the primary"
        )
    if attributes.archives_wal:
        advice.append(
            "the server archived its WAL: see to it that the restored one does not write into the same archive "
            "(archive_command)"
        )
    return advice
