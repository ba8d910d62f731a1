"""The PostgreSQL driver: what `agents.drivers.base` asks for, put together from this folder's parts.

What a backup is like is said by the service's options; how one is restored, by its own artifacts: those of a service whose
method has changed since stay restorable.
"""

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
from agents.drivers.postgresql import planning, rehearsal
from agents.drivers.postgresql.attributes import GLOBALS_KIND
from agents.drivers.postgresql.check import check_restore
from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.dump import start_dump
from agents.drivers.postgresql.globals_restore import start_globals_restore
from agents.drivers.postgresql.health import look_at_health
from agents.drivers.postgresql.physical.attributes import CLUSTER_KIND
from agents.drivers.postgresql.physical.dump import start_physical_dump
from agents.drivers.postgresql.physical.planning import plan_physical_backup
from agents.drivers.postgresql.physical.restore import check_physical_restore, start_physical_restore
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.restore import start_database_restore
from agents.drivers.postgresql.tally import Tally
from contracts.errors import RunFailed
from contracts.records import ArtifactRecord, EngineHealth, RestoreTarget
from contracts.services import PostgreSQLOptions

_LOGICAL: Final = Capabilities(rename=True, skip_roles=True, scratch=True)
_PHYSICAL: Final = Capabilities(directory=True, scratch=True)


class PostgreSQLDriver(DriverDefaults[PostgreSQLConnection, PostgreSQLOptions]):
    """One cluster.  Each call stands for itself, but for the counts of a backup that is held."""

    def __init__(
        self,
        connection: PostgreSQLConnection,
        options: PostgreSQLOptions | None = None,
        **directories: Unpack[Directories],
    ) -> None:
        super().__init__(connection, options or PostgreSQLOptions(), directories)
        self._tally: Tally | None = None

    @property
    def capabilities(self) -> Capabilities:
        return _PHYSICAL if self._is_physical else _LOGICAL

    def capabilities_of(self, artifacts: list[ArtifactRecord]) -> Capabilities:
        return _PHYSICAL if any(artifact.kind == CLUSTER_KIND for artifact in artifacts) else _LOGICAL

    async def health(self) -> EngineHealth:
        return await look_at_health(self._psql())

    async def plan_backup(self) -> BackupPlan:
        if self._is_physical:
            return await plan_physical_backup(self._psql())
        return await planning.plan_backup(self._psql(), self._options)

    @asynccontextmanager
    async def holding(self, plan: BackupPlan) -> AsyncIterator[None]:
        """The dumps in here correct the inventory's counts."""
        self._tally = Tally(plan)
        if self._is_physical:
            await self._tally.begin(self._psql())
        try:
            yield
        finally:
            self._tally = None

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        del plan  # the tally has it
        if self._is_physical and self._tally is not None:
            await self._tally.keep_unchanged(self._psql())
        return []

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        if artifact.kind == CLUSTER_KIND:
            return start_physical_dump(self._psql(), artifact)
        return start_dump(self._psql(), artifact, lock_timeout_s=self._options.lock_timeout_s, tally=self._tally)

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        if any(artifact.kind == CLUSTER_KIND for artifact in artifacts):
            check_physical_restore(self._connection, artifacts, target)
        else:
            await check_restore(self._psql(restores=True), artifacts, target)

    @asynccontextmanager
    async def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AsyncIterator[RestoreSink]:
        psql = self._psql(restores=True)
        if artifact.kind == CLUSTER_KIND:
            async with start_physical_restore(self._connection, artifact, target, run_id, confirm) as cluster:
                yield cluster
        elif artifact.kind == GLOBALS_KIND:
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

    def scratch(self, directory: Path) -> AbstractAsyncContextManager[Scratch]:
        rehearse = rehearsal.rehearse_physical if self._is_physical else rehearsal.rehearse_logical
        return rehearse(self._connection, directory, self._scratch_driver, runtime_dir=self._runtime_dir)

    @property
    def _is_physical(self) -> bool:
        return self._options.method == "physical"

    def _psql(self, *, restores: bool = False) -> Psql:
        return Psql(self._connection, self._runtime_dir, restores=restores)

    def _scratch_driver(self, connection: PostgreSQLConnection) -> _ScratchDriver:
        return _ScratchDriver(connection, self._options, **self._directories)


class _ScratchDriver(PostgreSQLDriver):
    """Of a rehearsal: takes backups of the service's present method only.

    Where that is the physical one, there is no scratch server yet, and the connection is still that of the service's own.
    """

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        self._require_same_method(artifacts)
        if not self._is_physical:  # in a scratch server, roles that no artifact brings may be made up
            await rehearsal.create_absent_roles(self._psql(restores=True), artifacts)
        await super().check_restore(artifacts, target)

    @asynccontextmanager
    async def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AsyncIterator[RestoreSink]:
        self._require_same_method([artifact])
        async with super().restore(artifact, target, run_id, confirm=confirm) as sink:
            yield sink

    def _require_same_method(self, artifacts: list[ArtifactRecord]) -> None:
        """Raises: RunFailed `restore.unsupported`."""
        if any((artifact.kind == CLUSTER_KIND) != self._is_physical for artifact in artifacts):
            ours, theirs = ("physical", "logical") if self._is_physical else ("logical", "physical")
            raise RunFailed(
                "restore.unsupported",
                f"the backup was made by the method {theirs}, and the service's is {ours} now, by which it is rehearsed: "
                "restore it into a test server instead, or set the method back for the rehearsal",
            )
