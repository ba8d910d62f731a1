"""The Qdrant driver: what `agents.drivers.base` asks for, put together from this folder's parts."""

from __future__ import annotations

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
from agents.drivers.qdrant import finishing, planning
from agents.drivers.qdrant.aliases_restore import start_aliases_restore
from agents.drivers.qdrant.attributes import ALIASES_KIND, collection_attributes
from agents.drivers.qdrant.check import check_restore
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.dump import start_dump
from agents.drivers.qdrant.health import look_at_health
from agents.drivers.qdrant.leftovers import remove_leftovers
from agents.drivers.qdrant.node import open_nodes
from agents.drivers.qdrant.restore import start_collection_restore
from agents.drivers.qdrant.scratch import has_program, scratch_server
from contracts.records import ArtifactRecord, EngineHealth, RestoreTarget
from contracts.services import QdrantOptions


class QdrantDriver(DriverDefaults[QdrantConnection, QdrantOptions]):
    """A node or a cluster.  Holds no connection; remembers which collections a restore has begun, for their other parts."""

    def __init__(
        self,
        connection: QdrantConnection,
        options: QdrantOptions | None = None,
        **directories: Unpack[Directories],
    ) -> None:
        super().__init__(connection, options or QdrantOptions(), directories)
        self._leftover_warnings: list[str] = []
        self._made: dict[str, set[str]] = {}
        """Collections by the run that made them."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(rename=True, scratch=has_program())

    async def health(self) -> EngineHealth:
        return await look_at_health(self._connection, self._options)

    async def plan_backup(self) -> BackupPlan:
        return await planning.plan_backup(self._connection, self._options)

    @asynccontextmanager
    async def holding(self, plan: BackupPlan) -> AsyncIterator[None]:
        """Nothing has to be held; what an earlier run had to leave on the nodes goes first, since it takes room there."""
        del plan
        async with open_nodes(self._connection) as nodes:
            self._leftover_warnings = await remove_leftovers(self._work_dir, nodes)
        yield

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        return start_dump(self._connection, artifact, self._work_dir)

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        return self._leftover_warnings + await finishing.finish_backup(self._connection, self._options, plan)

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        await check_restore(self._connection, artifacts, target)

    @asynccontextmanager
    async def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AsyncIterator[RestoreSink]:
        if artifact.kind == ALIASES_KIND:
            async with start_aliases_restore(self._connection, artifact, target, confirm=confirm) as aliases:
                yield aliases
        else:
            async with start_collection_restore(
                self._connection,
                artifact,
                target,
                run_id,
                work_dir=self._work_dir,
                made=self._made.setdefault(run_id, set()),
                confirm=confirm,
            ) as collection:
                yield collection

    def restore_order(self, artifacts: list[ArtifactRecord]) -> list[ArtifactRecord]:
        """The parts of a collection one after the other, and aliases when all are there that they may point to."""

        def key(artifact: ArtifactRecord) -> tuple[bool, str, int]:
            if artifact.kind == ALIASES_KIND:
                return True, artifact.name, 0
            attributes = collection_attributes(artifact)
            return False, attributes.collection, attributes.part

        return sorted(artifacts, key=key)

    @asynccontextmanager
    async def scratch(self, directory: Path) -> AsyncIterator[Scratch]:
        if not has_program():
            async with super().scratch(directory) as unsupported:
                yield unsupported
            return

        def make_driver(connection: QdrantConnection) -> QdrantDriver:
            return QdrantDriver(connection, **self._directories)

        async with scratch_server(directory, make_driver) as scratch:
            yield scratch
