"""The MariaDB driver: what `agents.drivers.base` asks for, put together from this folder's parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Final, Unpack

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
from agents.drivers.mariadb import planning
from agents.drivers.mariadb.attributes import DATADIR_KIND, USERS_KIND
from agents.drivers.mariadb.check import check_restore, goes_into_server
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.mariadb.database_restore import start_database_restore
from agents.drivers.mariadb.dump import start_dump
from agents.drivers.mariadb.finishing import finish_backup
from agents.drivers.mariadb.health import look_at_health
from agents.drivers.mariadb.ordering import in_order
from agents.drivers.mariadb.physical_restore import start_datadir_restore
from agents.drivers.mariadb.scratch import start_scratch
from agents.drivers.mariadb.users_restore import start_users_check, start_users_restore
from contracts.records import ArtifactRecord, EngineHealth, RestoreTarget
from contracts.services import MariaDBOptions

_PHYSICAL: Final = Capabilities(directory=True, scratch=True)
_LOGICAL: Final = Capabilities(rename=True, scratch=True)


class MariaDBDriver(DriverDefaults[MariaDBConnection, MariaDBOptions]):
    """One server.  Each call stands for itself, but for the position of a physical backup, known only at its end."""

    def __init__(
        self,
        connection: MariaDBConnection,
        options: MariaDBOptions | None = None,
        **directories: Unpack[Directories],
    ) -> None:
        super().__init__(connection, options or MariaDBOptions(), directories)
        self._position: dict[str, str] = {}

    @property
    def capabilities(self) -> Capabilities:
        return _PHYSICAL if self._options.method == "physical" else _LOGICAL

    def capabilities_of(self, artifacts: list[ArtifactRecord]) -> Capabilities:
        return _PHYSICAL if any(artifact.kind == DATADIR_KIND for artifact in artifacts) else _LOGICAL

    async def health(self) -> EngineHealth:
        return await look_at_health(self._client())

    async def plan_backup(self) -> BackupPlan:
        return await planning.plan_backup(self._client(), self._options)

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        return start_dump(self._client(), artifact, self._options, self._work_dir, note=self._position.update)

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        plan.inventory["position"] |= self._position
        self._position.clear()
        return await finish_backup(self._client(), self._options, plan)

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        await check_restore(self._client(restores=True), artifacts, target)

    @asynccontextmanager
    async def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AsyncIterator[RestoreSink]:
        client = self._client(restores=True)
        if artifact.kind == DATADIR_KIND:
            async with start_datadir_restore(client, artifact, target, run_id, confirm=confirm) as directory:
                yield directory
        elif artifact.kind == USERS_KIND and not goes_into_server(artifact, target):
            async with start_users_check(artifact, confirm=confirm) as checked:
                yield checked
        elif artifact.kind == USERS_KIND:
            async with start_users_restore(client, artifact, target, confirm=confirm) as users:
                yield users
        else:
            async with start_database_restore(
                client, artifact, target, run_id, work_dir=self._work_dir, confirm=confirm
            ) as database:
                yield database

    def restore_order(self, artifacts: list[ArtifactRecord]) -> list[ArtifactRecord]:
        return in_order(artifacts)

    def scratch(self, directory: Path) -> AbstractAsyncContextManager[Scratch]:
        def make_driver(connection: MariaDBConnection) -> MariaDBDriver:
            return MariaDBDriver(connection, self._options, **self._directories)

        return start_scratch(
            directory, self._connection, self._options, runtime_dir=self._runtime_dir, make_driver=make_driver
        )

    def _client(self, *, restores: bool = False) -> Client:
        return Client(self._connection, self._runtime_dir, restores=restores)
