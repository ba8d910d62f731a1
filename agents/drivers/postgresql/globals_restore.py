"""Restoring roles: those that are missing, in one transaction, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from agents.drivers.base import Confirm, confirmed
from agents.drivers.postgresql.discovery import look_at_cluster
from agents.drivers.postgresql.dump import GLOBALS_MARK
from agents.drivers.postgresql.globals import GlobalsPlan, plan_globals
from agents.drivers.postgresql.intake import Intake
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import quote_identifier
from agents.processes import uncancelled
from contracts.errors import Corrupt, RunFailed, StrongroomError
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

log = structlog.get_logger()

MAX_GLOBALS_BYTES: Final = 64 * 1024 * 1024
"""The script is held in memory, since it has passwords' hashes; this is about 200,000 roles."""
_ROLES: Final = "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles"


class GlobalsRestore:
    """`RestoreSink` of a globals artifact: the script is taken in at once, and applied by `finish`."""

    def __init__(self, psql: Psql, artifact: ArtifactRecord, target: RestoreTarget, intake: Intake) -> None:
        self.confirm: Confirm = confirmed
        self._psql = psql
        self._artifact = artifact
        self._target = target
        self._intake = intake
        self._script = asyncio.create_task(self._take_in(), name="restore:globals")
        self._outcome: Attributes | None = None
        self._created: list[str] = []

    @property
    def fd(self) -> int:
        return self._intake.fd

    def close_input(self) -> None:
        self._intake.close_input()

    async def finish(self) -> Attributes:
        """Which roles were created.  Raises: RunFailed `restore.failed`, `engine.*`; no role was created then."""
        if self._outcome is not None:
            return self._outcome
        self.close_input()
        plan = await self._plan(await self._script)
        if self._target.skip_roles:
            self._outcome = {"roles_created": [], "roles_kept": plan.kept, "warnings": ["roles were left alone, as asked"]}
            return self._outcome
        await self.confirm()
        await uncancelled(self._apply(plan), name="restore:roles")
        self._outcome = {"roles_created": plan.created, "roles_kept": plan.kept, "warnings": plan.warnings}
        log.info("restore.roles_created", created=len(plan.created), kept=len(plan.kept))
        return self._outcome

    async def leave(self) -> None:
        """Undoes what was done, unless it was finished: roles that were just created own nothing yet."""
        self._script.cancel()
        await asyncio.wait([self._script])
        if not self._script.cancelled():
            self._script.exception()  # told by `finish`, or of no interest
        if self._outcome is not None or not self._created:
            return
        drops = [f"DROP ROLE IF EXISTS {quote_identifier(name)}" for name in self._created]
        try:
            await self._psql.execute(drops, "dropping the roles of a cancelled restore", atomic=True)
        except StrongroomError as exc:
            log.error("restore.roles_left_behind", roles=self._created, code=exc.code, reason=exc.message)

    async def _take_in(self) -> bytes:
        try:
            script = await self._intake.read(MAX_GLOBALS_BYTES + 1)
        finally:
            self._intake.abandon()
        if len(script) > MAX_GLOBALS_BYTES:
            raise _too_long(self._artifact)
        return script

    async def _plan(self, script: bytes) -> GlobalsPlan:
        if GLOBALS_MARK not in script[-1024:]:
            raise self._damaged("its end is missing")
        cluster = await look_at_cluster(self._psql)
        roles = await self._psql.query(_ROLES, list[str], "listing the target's roles")
        try:
            return plan_globals(
                script.decode(),
                existing_roles=roles,
                existing_tablespaces=cluster.tablespaces,
                superuser=cluster.is_superuser,
            )
        except (ValueError, UnicodeDecodeError) as exc:
            raise self._damaged(str(exc)) from exc

    async def _apply(self, plan: GlobalsPlan) -> None:
        if not plan.statements:
            return
        try:
            await self._psql.execute(plan.statements, "creating roles", atomic=True)
        except StrongroomError as exc:
            if exc.code != "engine.permission":
                raise
            message = f"{exc.message}; restore as a superuser, or use --skip-roles"
            raise RunFailed("engine.permission", message, detail=exc.detail) from exc
        self._created = plan.created

    def _damaged(self, why: str) -> Corrupt:
        return Corrupt("artifact.corrupt", f"artifact {self._artifact.name!r} is not a script of pg_dumpall: {why}")


def require_bearable_size(artifact: ArtifactRecord) -> None:
    """Raises: RunFailed `restore.failed`."""
    if artifact.plain_bytes > MAX_GLOBALS_BYTES:
        raise _too_long(artifact)


@asynccontextmanager
async def start_globals_restore(
    psql: Psql, artifact: ArtifactRecord, target: RestoreTarget
) -> AsyncIterator[GlobalsRestore]:
    """Leaving before `finish` returned leaves the target's roles as they were."""
    require_bearable_size(artifact)
    with Intake() as intake:
        restore = GlobalsRestore(psql, artifact, target, intake)
        try:
            yield restore
        finally:
            await uncancelled(restore.leave(), name="restore:leave")


def _too_long(artifact: ArtifactRecord) -> RunFailed:
    limit = MAX_GLOBALS_BYTES // (1024 * 1024)
    return RunFailed(
        "restore.failed", f"artifact {artifact.name!r} is longer than the {limit} MiB that a restore of roles takes"
    )
