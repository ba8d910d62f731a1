"""The PostgreSQL driver: what `agents.drivers.base` asks for, put together from this folder's parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from agents.drivers.base import (
    BackupPlan,
    Capabilities,
    Confirm,
    DriverDefaults,
    DumpSource,
    PlannedArtifact,
    RestoreSink,
    confirmed,
)
from agents.drivers.postgresql import planning
from agents.drivers.postgresql.attributes import GLOBALS_KIND
from agents.drivers.postgresql.check import check_restore
from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.dump import start_dump
from agents.drivers.postgresql.globals_restore import start_globals_restore
from agents.drivers.postgresql.health import look_at_health
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.restore import start_database_restore
from contracts.records import ArtifactRecord, EngineHealth, RestoreTarget
from contracts.services import PostgreSQLOptions


class PostgreSQLDriver(DriverDefaults):
    """One cluster.  Holds no connection and no file: each call stands for itself."""

    def __init__(
        self,
        connection: PostgreSQLConnection,
        options: PostgreSQLOptions | None = None,
        *,
        runtime_dir: Path,
        work_dir: Path,
    ) -> None:
        self._connection = connection
        self._options = options or PostgreSQLOptions()
        self._runtime_dir = runtime_dir
        self._work_dir = work_dir

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(select=True, rename=True, skip_roles=True)

    async def health(self) -> EngineHealth:
        return await look_at_health(self._psql())

    async def plan_backup(self) -> BackupPlan:
        return await planning.plan_backup(self._psql(), self._options)

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        return start_dump(self._psql(), artifact, lock_timeout_s=self._options.lock_timeout_s)

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        await check_restore(self._psql(restores=True), artifacts, target)

    @asynccontextmanager
    async def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AsyncIterator[RestoreSink]:
        psql = self._psql(restores=True)
        if artifact.kind == GLOBALS_KIND:
            async with start_globals_restore(psql, artifact, target) as roles:
                roles.confirm = confirm
                yield roles
        else:
            async with start_database_restore(psql, artifact, target, run_id) as database:
                database.confirm = confirm
                yield database

    def restore_order(self, artifacts: list[ArtifactRecord]) -> list[ArtifactRecord]:
        """Roles before the databases whose objects they own."""
        return sorted(artifacts, key=lambda artifact: artifact.kind != GLOBALS_KIND)

    def _psql(self, *, restores: bool = False) -> Psql:
        return Psql(self._connection, self._runtime_dir, restores=restores)
