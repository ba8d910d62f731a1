"""The NATS driver: what `agents.drivers.base` asks for, put together from this folder's parts."""

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
from agents.drivers.nats.attributes import parse_attributes
from agents.drivers.nats.check import check_restore
from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.dump import start_dump
from agents.drivers.nats.health import look_at_health
from agents.drivers.nats.planning import note_changes, plan_backup
from agents.drivers.nats.restore import start_restore
from agents.drivers.nats.scratch import scratch_server
from agents.drivers.nats.session import open_session
from agents.drivers.nats.streams import StreamState
from agents.drivers.scratch import ScratchServer
from contracts.records import ArtifactRecord, EngineHealth, RestoreTarget
from contracts.services import NATSOptions


class NATSDriver(DriverDefaults[NATSConnection, NATSOptions]):
    """The JetStream streams of one account.  Holds no connection: each call makes its own."""

    def __init__(
        self,
        connection: NATSConnection,
        options: NATSOptions | None = None,
        *,
        isolated: bool = False,
        **directories: Unpack[Directories],
    ) -> None:
        """`isolated`: restored streams take from no others and give to none, as it has to be in a rehearsal."""
        super().__init__(connection, options or NATSOptions(), directories)
        self._isolated = isolated
        self._taken: dict[str, StreamState] = {}
        """What the snapshots of the backup under way hold, by stream."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(rename=True, scratch=True)

    async def health(self) -> EngineHealth:
        return await look_at_health(self._connection, self._options)

    async def plan_backup(self) -> BackupPlan:
        self._taken = {}
        async with open_session(self._connection) as session:
            return await plan_backup(session, self._options)

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        return start_dump(
            self._connection, artifact.name, self._work_dir, consumers=self._options.consumers, taken=self._taken
        )

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        async with open_session(self._connection) as session:
            return await note_changes(session, plan, self._options, self._taken)

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        async with open_session(self._connection) as session:
            await check_restore(session, artifacts, target)

    def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AbstractAsyncContextManager[RestoreSink]:
        return start_restore(
            self._connection,
            artifact,
            target,
            run_id,
            work_dir=self._work_dir,
            confirm=confirm,
            isolated=self._isolated,
        )

    def restore_order(self, artifacts: list[ArtifactRecord]) -> list[ArtifactRecord]:
        """Streams before those that take their messages from them."""
        return sorted(artifacts, key=lambda artifact: parse_attributes(artifact).is_fed)

    @asynccontextmanager
    async def scratch(self, directory: Path) -> AsyncIterator[Scratch]:
        async with scratch_server(directory) as connection:
            driver = NATSDriver(connection, NATSOptions(), runtime_dir=directory, work_dir=self._work_dir, isolated=True)
            yield ScratchServer(driver)
