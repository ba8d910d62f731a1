"""The driver of directory trees: what `agents.drivers.base` asks for, put together from this folder's parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Unpack

from agents.drivers.base import (
    BackupPlan,
    Capabilities,
    Confirm,
    DumpSource,
    PlannedArtifact,
    RestoreSink,
    Scratch,
    confirmed,
)
from agents.drivers.defaults import Directories, DriverDefaults
from agents.drivers.directories import choose_directory, require_free
from agents.drivers.shared_storage.archived import Archived
from agents.drivers.shared_storage.connection import SharedStorageConnection
from agents.drivers.shared_storage.dump import start_dump
from agents.drivers.shared_storage.paths import require_places, restore_paths
from agents.drivers.shared_storage.planning import plan_backup
from agents.drivers.shared_storage.root import look_at_health
from agents.drivers.shared_storage.scratch import scratch_tree
from agents.drivers.shared_storage.selection import choose_paths
from agents.drivers.shared_storage.tar import find_tar
from agents.drivers.shared_storage.whole import restore_whole
from contracts.records import ArtifactRecord, EngineHealth, RestoreTarget
from contracts.services import SharedStorageOptions


class SharedStorageDriver(DriverDefaults[SharedStorageConnection, SharedStorageOptions]):
    """One tree.  Holds no file; of a dump it remembers what was in it until `finish_backup`."""

    def __init__(
        self,
        connection: SharedStorageConnection,
        options: SharedStorageOptions | None = None,
        **directories: Unpack[Directories],
    ) -> None:
        super().__init__(connection, options or SharedStorageOptions(), directories)
        self._archived: Archived | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(directory=True, paths=True, scratch=True)

    async def health(self) -> EngineHealth:
        return await look_at_health(self._connection.root_dir, self._connection.bin_dir)

    async def plan_backup(self) -> BackupPlan:
        return await plan_backup(self._connection, self._options)

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        self._archived = None
        return start_dump(self._connection, self._options, artifact, self._note)

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        """Sets the inventory right: the figures of the plan are those of a look at the tree, and it lives on."""
        if self._archived is not None:
            plan.inventory["counts"] = self._archived.counts
            plan.inventory["archived_entries"] = self._archived.entries
        return []

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        del artifacts
        wanted = choose_paths(target.paths)
        directory = self._directory(target)
        await find_tar(self._connection.bin_dir)
        if wanted and directory.is_dir():
            await asyncio.to_thread(require_places, directory, wanted, replace=target.replace)
        else:
            await asyncio.to_thread(require_free, directory, replace=target.replace)

    @asynccontextmanager
    async def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AsyncIterator[RestoreSink]:
        del artifact
        tar = await find_tar(self._connection.bin_dir)
        directory = self._directory(target)
        if wanted := choose_paths(target.paths):
            async with restore_paths(tar, directory, wanted, run_id, replace=target.replace, confirm=confirm) as paths:
                yield paths
        else:
            async with restore_whole(tar, directory, run_id, replace=target.replace, confirm=confirm) as whole:
                yield whole

    def scratch(self, directory: Path) -> AbstractAsyncContextManager[Scratch]:
        def driver_of(root: Path) -> SharedStorageDriver:
            connection = SharedStorageConnection(root_dir=str(root), bin_dir=self._connection.bin_dir)
            return SharedStorageDriver(connection, **self._directories)

        return scratch_tree(directory, driver_of)

    def _note(self, archived: Archived) -> None:
        self._archived = archived

    def _directory(self, target: RestoreTarget) -> Path:
        return choose_directory(
            target.directory, restore_dir=self._connection.restore_dir, default=self._connection.root_dir
        )
