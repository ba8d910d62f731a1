"""Restoring one database: beside the target under another name, and into its place only when it is whole.

    writer ─▶ intake ─▶ (table of contents) ─▶ pg_restore ─▶ orders__restoring_20261122t000512zk7xq ─▶ orders

Whatever happens before `finish` returned, the target stays or becomes again what it was, and the unfinished database goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from agents.drivers.base import Confirm, confirmed
from agents.drivers.postgresql.check import require_replaceable
from agents.drivers.postgresql.connection import session
from agents.drivers.postgresql.discovery import look_at_cluster
from agents.drivers.postgresql.encodings import decode_text
from agents.drivers.postgresql.errors import StatementFailed, restore_failed, warnings_in
from agents.drivers.postgresql.intake import Intake
from agents.drivers.postgresql.placing import drop_leftovers, look_at_contents, swap_in
from agents.drivers.postgresql.properties import DatabaseProperties, Property, parse_properties, read_properties
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import quote_identifier
from agents.drivers.postgresql.redaction import redactor
from agents.drivers.postgresql.restore_plan import RestorePlan, pg_restore_argv, plan_restore
from agents.drivers.postgresql.scratch import NAME_TAKEN, clean_up, create_scratch
from agents.processes import Command, start, uncancelled
from contracts.errors import Conflict, RunFailed, StrongroomError
from contracts.records import ArtifactRecord, Attributes, RestoreTarget

log = structlog.get_logger()

_FIRST_HEAD_BYTES: Final = 1024 * 1024
_LARGEST_HEAD_BYTES: Final = 64 * 1024 * 1024
"""Of the dump's beginning, to find the table of contents in: held in memory, so bounded."""
_ANALYZE_TIMEOUT_S: Final = 1800.0


class DatabaseRestore:
    """`RestoreSink` of one database."""

    def __init__(self, psql: Psql, plan: RestorePlan, scratch_oid: int, intake: Intake) -> None:
        self.confirm: Confirm = confirmed
        self._psql = psql
        self._plan = plan
        self._scratch_oid = scratch_oid
        self._old_oid: int | None = None
        self._intake = intake
        self._warnings: list[str] = []
        self._outcome: Attributes | None = None
        self._loading = asyncio.create_task(self._load(), name=f"restore:{plan.scratch}")

    @property
    def fd(self) -> int:
        return self._intake.fd

    def close_input(self) -> None:
        self._intake.close_input()

    async def finish(self) -> Attributes:
        """Raises: RunFailed `restore.failed`, `engine.*`; Conflict `restore.target_not_empty` when the target filled up
        meanwhile."""
        if self._outcome is not None:
            return self._outcome
        self.close_input()
        properties = await self._loading
        await self._analyze()
        await self._apply(properties.final)
        await self.confirm()
        # A cancellation waits for the swap, which is short, and is raised before the outcome is set: then it is undone.
        await uncancelled(self._swap(properties), name=f"restore:swap:{self._plan.target}")
        self._outcome = {
            "database": self._plan.target,
            "replaced": self._old_oid is not None,
            "warnings": self._warnings,
        }
        log.info("restore.in_place", database=self._plan.target, replaced=self._old_oid is not None)
        return self._outcome

    async def leave(self) -> None:
        """Removes the old database if the restore was finished, and otherwise everything of the new one."""
        self._loading.cancel()
        await asyncio.wait([self._loading])
        if not self._loading.cancelled():
            self._loading.exception()  # told by `finish`, or of no interest
        await clean_up(self._psql, self._plan, self._scratch_oid, self._old_oid, finished=self._outcome is not None)

    async def _load(self) -> DatabaseProperties:
        """All bytes of the input restored into the scratch database."""
        try:
            head, properties = await self._read_head()
            await self._apply(properties.settings)
            await self._run_pg_restore(head)
            return properties
        finally:
            self._intake.abandon()

    async def _read_head(self) -> tuple[bytes, DatabaseProperties]:
        head, size, script = b"", _FIRST_HEAD_BYTES, None
        while script is None:
            head += await self._intake.read(size - len(head))
            script = await read_properties(head, self._plan.pg_restore, self._psql.runtime_dir)
            if len(head) < size or size >= _LARGEST_HEAD_BYTES:
                break
            size *= 4
        if script is None:
            self._warnings.append("the database's own settings and grants could not be found in the dump")
            return head, DatabaseProperties()
        try:
            text = decode_text(script, self._plan.attributes.encoding)
            return head, parse_properties(text, self._plan.scratch)
        except ValueError as exc:
            self._warnings.append(f"the database's own settings and grants could not be understood: {exc}")
            return head, DatabaseProperties()

    async def _run_pg_restore(self, head: bytes) -> None:
        plan, connection = self._plan, self._psql.connection
        if plan.missing_tablespaces:
            names = ", ".join(plan.missing_tablespaces)
            self._warnings.append(f"the target lacks the tablespaces {names}: everything lies in the default one")
        with session(connection, plan.scratch, self._psql.runtime_dir) as opened:
            command = Command(
                argv=pg_restore_argv(plan),
                package="postgresql-client",
                # The database's own settings apply already, and one of them might forbid to write.
                env={**opened.env, "PGOPTIONS": "-c default_transaction_read_only=off"},
                pass_fds=opened.pass_fds,
                redact=redactor(opened.password),
            )
            async with start(command, stdin=True) as child:
                await self._intake.pass_on(head, child)
                status = await child.wait()
                if not status.ok:
                    raise restore_failed(command.name, status, child.stderr, connection, plan.scratch)
                self._warnings += warnings_in(child.stderr, command.name)
        await self._intake.drain()

    async def _apply(self, properties: Sequence[Property]) -> None:
        """As many as possible: a setting that this server does not know is no reason to have no database at all."""
        roles: list[str] | None = None
        for one in properties:
            if one.needs_roles and self._plan.skip_roles:
                continue
            if one.role is not None:
                roles = roles if roles is not None else await self._existing_roles()
                if one.role not in roles:
                    self._warnings.append(f"{one.subject} was left out: there is no role {one.role!r}")
                    continue
            try:
                # In the database itself, whose encoding the shared catalogues have them in.
                await self._psql.execute([one.sql], "applying the database's settings", database=self._plan.scratch)
            except StrongroomError as exc:
                # Without the server's words, which may repeat the value.
                reason = exc.sqlstate if isinstance(exc, StatementFailed) and exc.sqlstate else exc.code
                self._warnings.append(f"{one.subject} could not be applied ({reason})")

    async def _existing_roles(self) -> list[str]:
        select = "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles"
        return await self._psql.query(select, list[str], "listing the target's roles", database=self._plan.admin)

    async def _analyze(self) -> None:
        try:
            await self._psql.execute(
                ["ANALYZE"], "analysing the restored database", database=self._plan.scratch, timeout_s=_ANALYZE_TIMEOUT_S
            )
        except StrongroomError as exc:
            self._warnings.append(f"run ANALYZE in {self._plan.target!r}, it could not be done: {exc.message}")

    async def _comment(self, properties: DatabaseProperties) -> str:
        """The statement that replaces the mark of what is unfinished, as a part of the swap.

        A comment in another encoding has to be made in the database itself, so there it goes before.
        """
        if properties.comment is not None and self._plan.attributes.encoding == "UTF8":
            return properties.comment.on(self._plan.target)
        if properties.comment is None:
            return f"COMMENT ON DATABASE {quote_identifier(self._plan.target)} IS NULL"
        await self._psql.execute(
            [properties.comment.on(self._plan.scratch)], "commenting on the database", database=self._plan.scratch
        )
        return "SELECT"

    async def _swap(self, properties: DatabaseProperties) -> None:
        plan = self._plan
        cluster = await look_at_cluster(self._psql, database=plan.admin)
        existing = cluster.database(plan.target)
        if existing is not None:
            # Looked at once more: hours may have passed since the check.
            await require_replaceable(self._psql, existing, replace=plan.replace, admin=plan.admin)
            self._old_oid = existing.oid
        try:
            await swap_in(
                self._psql,
                new=plan.scratch,
                target=plan.target,
                old=plan.replaced if existing is not None else None,
                terminate=plan.replace,
                admin=plan.admin,
                then=[await self._comment(properties)],
            )
        except StatementFailed as exc:
            if exc.sqlstate != NAME_TAKEN:
                raise
            what = f"somebody created a database {plan.target!r} during the restore"
            raise RunFailed("restore.failed", f"{what}: look what it is, and try again", detail=exc.detail) from exc
        if existing is not None and not plan.replace:
            contents = await look_at_contents(self._psql, plan.replaced)
            if not contents.empty:
                what = f"database {plan.target!r} was empty at first, but by now somebody put {contents} into it"
                raise Conflict("restore.target_not_empty", f"{what}: restore with --replace to lose that")


@asynccontextmanager
async def start_database_restore(
    psql: Psql, artifact: ArtifactRecord, target: RestoreTarget, run_id: str
) -> AsyncIterator[DatabaseRestore]:
    """Makes the scratch database and takes the dump in.  Raises: RunFailed `engine.*`, `restore.failed`."""
    plan = await plan_restore(psql, artifact, target, run_id)
    await drop_leftovers(psql, plan.target, admin=plan.admin, server_major=plan.server_major)
    scratch_oid = await create_scratch(psql, plan)
    with Intake() as intake:
        restore = DatabaseRestore(psql, plan, scratch_oid, intake)
        try:
            yield restore
        finally:
            await uncancelled(restore.leave(), name=f"restore:leave:{plan.target}")
