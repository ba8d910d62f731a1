"""Restoring a data directory: extracted beside its place, prepared there, and put into its place when that went well.

    stdin ─▶ mbstream ─▶ .strongroom-restoring-… ─▶ mariadb-backup --prepare ─▶ owner ─▶ the chosen directory

What is left in it for people: `xtrabackup_info` and `xtrabackup_binlog_info` with the position in the binary log,
`backup-my.cnf` with the settings of InnoDB that a server needs to run on it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from agents.drivers.base import Confirm
from agents.drivers.directories import StagedTree, choose_directory, free_bytes, require_free, staged_tree
from agents.drivers.mariadb.attributes import parse_attributes
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.datadir import Datadir, look_at_datadir, owner_for, require_unused
from agents.drivers.mariadb.dump import BACKUP_MARK, position_in
from agents.drivers.mariadb.server import look_at_server
from agents.drivers.mariadb.tools import Tool, find_program, find_tool, require_same_series
from agents.drivers.programs import ProgramRestore
from agents.processes import Child, Command, ExitStatus, start
from contracts.errors import Corrupt, RunFailed, StrongroomError
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

log = structlog.get_logger()

_LOOK_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True)
class PhysicalPlan:
    directory: Path
    tool: Tool
    mbstream: str
    owner: tuple[int, int] | None
    replace: bool


async def plan_physical_restore(client: Client, artifact: ArtifactRecord, target: RestoreTarget) -> PhysicalPlan:
    """Raises: InvalidInput for `directory`; Conflict `restore.target_not_empty`; RunFailed `restore.failed`, `engine.*`."""
    connection = client.connection
    directory = choose_directory(target.directory, restore_dir=connection.restore_dir)
    tool = await find_tool("mariadb-backup", connection.bin_dir)
    mbstream = find_program("mbstream", connection.bin_dir)
    version = parse_attributes(artifact).server_version
    if version:
        require_same_series(tool, version, what="the backup is of a server of version")
    require_free(directory, replace=target.replace)
    await asyncio.to_thread(require_unused, directory)
    free = free_bytes(directory)
    if free < artifact.plain_bytes:
        raise RunFailed(
            "restore.failed",
            f"where {directory} is there are {free} bytes left, but the data directory takes {artifact.plain_bytes}: "
            "make room, or name another place with --directory",
        )
    return PhysicalPlan(directory, tool, mbstream, owner_for(directory, await _present_datadir(client)), target.replace)


async def _present_datadir(client: Client) -> Datadir | None:
    """The server's, if there is one that answers; a restore must do without, since that is when it is needed most."""
    if os.geteuid() != 0:
        return None
    try:
        facts = await look_at_server(client, timeout_s=_LOOK_TIMEOUT_S)
        return await look_at_datadir(facts.datadir_path)
    except StrongroomError:
        return None


class DatadirRestore(ProgramRestore):
    """`RestoreSink` of a data directory."""

    def __init__(
        self, child: Child, plan: PhysicalPlan, tree: StagedTree, artifact: ArtifactRecord, confirm: Confirm
    ) -> None:
        super().__init__(child, confirm)
        self._plan = plan
        self._tree = tree
        self._artifact = artifact
        self._outside: list[str] = []
        self._position: Attributes = {}

    async def accept(self, status: ExitStatus) -> None:
        """Raises: RunFailed `restore.failed`; Corrupt."""
        self._require_extracted(status)
        await self._prepare()
        self._outside = await asyncio.to_thread(_forget_other_places, self._tree.path)
        self._position = await asyncio.to_thread(_read_position, self._tree.path)
        await asyncio.to_thread(_give, self._tree.path, self._plan.owner, self._plan.directory)

    async def place(self) -> Attributes:
        """Raises: Conflict `restore.target_not_empty` when the target filled up meanwhile; RunFailed `restore.failed`."""
        require_free(self._plan.directory, replace=self._plan.replace)
        await asyncio.to_thread(require_unused, self._plan.directory)
        await self._tree.place(replace=self._plan.replace)
        warnings = []
        if self._plan.owner is None and os.geteuid() == 0:
            warnings.append(f"{self._plan.directory} belongs to root: give it to the user that mariadbd runs as")
        if self._outside:
            warnings.append(f"tables that lay outside the data directory are inside now: {', '.join(self._outside[:10])}")
        place = str(self._plan.directory)
        log.info("restore.in_place", directory=place)
        return {"in_place": place, "directory": place, **self._position, "warnings": warnings}

    def _require_extracted(self, status: ExitStatus) -> None:
        if status.ok and (self._tree.path / "xtrabackup_info").exists():  # which comes last
            return
        what = f"the data directory in artifact {self._artifact.name!r} could not be extracted: mbstream {status}"
        words = self._child.stderr
        if "No space left" in words or "Errcode: 28" in words:
            raise RunFailed("restore.failed", f"{what}: {self._tree.parent} has no room left", detail=words)
        if status.ok or "my_read() failed" in words or "corrupt" in words.lower() or "wrong chunk" in words.lower():
            raise Corrupt("artifact.corrupt", f"{what}: the artifact is damaged or ends too early", detail=words or None)
        raise RunFailed("restore.failed", f"{what}: see its words below", detail=words or None)

    async def _prepare(self) -> None:
        command = Command(
            argv=[self._plan.tool.path, "--no-defaults", "--prepare", f"--target-dir={self._tree.path}"],
            package="mariadb-backup",
        )
        async with start(command) as child:
            status = await child.wait()
            if status.ok and child.stderr.rstrip().endswith(BACKUP_MARK):
                return
            what = f"the restored data directory could not be prepared: mariadb-backup --prepare {status}"
            if "No space left" in child.stderr:
                raise RunFailed("restore.failed", f"{what}: {self._tree.parent} has no room left", detail=child.stderr)
            raise RunFailed("restore.failed", f"{what}: see its words below", detail=child.stderr or None)


@asynccontextmanager
async def start_datadir_restore(
    client: Client, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm
) -> AsyncIterator[DatadirRestore]:
    """Raises: RunFailed `engine.*`, `restore.failed`.  Leaving before `finish` returned leaves the target as it was."""
    plan = await plan_physical_restore(client, artifact, target)
    async with staged_tree(plan.directory, run_id) as tree:
        command = Command(argv=[plan.mbstream, "-x", "-C", str(tree.path)], package="mariadb-backup")
        async with start(command, stdin=True) as child:
            yield DatadirRestore(child, plan, tree, artifact, confirm)


def _forget_other_places(tree: Path) -> list[str]:
    """Removes the links to tables outside: the tables came along, and a server would use the originals instead.

    Returns their names."""
    links = sorted(tree.glob("*/*.isl"))
    for link in links:
        link.unlink()
    return [f"{link.parent.name}.{link.stem}" for link in links]


def _read_position(tree: Path) -> Attributes:
    """Where the backup is in the binary log, for whoever makes a replica of it."""
    return {**position_in((tree / "xtrabackup_info").read_text(errors="replace"))}


def _give(tree: Path, owner: tuple[int, int] | None, target: Path) -> None:
    """To the user that the server runs as; with the mode of the directory that is replaced."""
    if owner is not None:
        for folder, folders, files in os.walk(tree):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, *owner, follow_symlinks=False)
        os.chown(tree, *owner)
    if target.is_dir():
        tree.chmod(target.stat().st_mode & 0o7777)
