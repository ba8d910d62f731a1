"""The Meilisearch driver: what `agents.drivers.base` asks for, put together from this folder's parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Unpack

import msgspec

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
from agents.drivers.meilisearch.api import open_api
from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.meilisearch.health import look_at_health
from agents.drivers.meilisearch.journal import Journal
from agents.drivers.meilisearch.making import MadeDump, made_dump
from agents.drivers.meilisearch.planning import plan_backup
from agents.drivers.meilisearch.program import find_program, require_program
from agents.drivers.meilisearch.reading import changes_since, read_dump
from agents.drivers.meilisearch.restoring import check_restore, start_restore
from agents.drivers.meilisearch.scratch import scratch_instance
from agents.drivers.pipes import PipeWriter, piped_dump
from contracts.records import ArtifactRecord, EngineHealth, RestoreTarget
from contracts.services import MeilisearchOptions


class MeilisearchDriver(DriverDefaults[MeilisearchConnection, MeilisearchOptions]):
    """One instance.  While a backup holds, its dump lies in the instance's dump directory."""

    def __init__(
        self,
        connection: MeilisearchConnection,
        options: MeilisearchOptions | None = None,
        **directories: Unpack[Directories],
    ) -> None:
        super().__init__(connection, options or MeilisearchOptions(), directories)
        self._made: MadeDump | None = None

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(directory=True, scratch=find_program(self._connection.bin_dir) is not None)

    async def health(self) -> EngineHealth:
        return await look_at_health(self._connection)

    async def plan_backup(self) -> BackupPlan:
        async with open_api(self._connection) as api:
            return await plan_backup(api, self._connection)

    @asynccontextmanager
    async def holding(self, plan: BackupPlan) -> AsyncIterator[None]:
        """Has the dump made before its bytes are waited for: that may take longer than a dump may be silent."""
        del plan
        journal = Journal(self._work_dir, self._connection)
        async with (
            open_api(self._connection) as api,
            made_dump(api, Path(self._connection.dump_dir), journal, timeout_s=self._options.timeout_s) as made,
        ):
            self._made = made
            try:
                yield
            finally:
                self._made = None

    @asynccontextmanager
    async def dump(self, artifact: PlannedArtifact) -> AsyncIterator[DumpSource]:
        made = self._made
        assert made is not None, "a dump is read while it is held"

        async def produce(pipe: PipeWriter) -> list[str]:
            return await read_dump(made, pipe)

        async with piped_dump(produce, name=artifact.name) as source:
            yield source

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        """The dump is in the bucket: its file goes now, so that one that cannot be removed is told of."""
        made = self._made
        assert made is not None
        assert made.contents is not None
        warnings = changes_since(plan.inventory["counts"], made.contents)
        plan.inventory["counts"] = made.contents.documents  # those of the plan are not what a restore brings back
        if still_there := made.remove():
            warnings.append(still_there)
        return warnings

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        check_restore(artifacts, target, self._connection.restore_dir)

    @asynccontextmanager
    async def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AsyncIterator[RestoreSink]:
        restore_dir = self._connection.restore_dir
        async with start_restore(artifact, target, run_id, restore_dir=restore_dir, confirm=confirm) as sink:
            yield sink

    def scratch(self, directory: Path) -> AbstractAsyncContextManager[Scratch]:
        if not self.capabilities.scratch:
            return super().scratch(directory)
        program = require_program(self._connection.bin_dir)
        connection = msgspec.structs.replace(self._connection, restore_dir=str(directory))
        driver = MeilisearchDriver(connection, self._options, **self._directories)
        return scratch_instance(driver, directory, program, timeout_s=self._options.timeout_s)
