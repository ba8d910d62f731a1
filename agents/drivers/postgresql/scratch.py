"""The database that a restore works in, from its making to its end."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from agents.drivers.postgresql.errors import StatementFailed
from agents.drivers.postgresql.placing import create_database, create_statement, drop_database, names_of, swap_in
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.restore_plan import RestorePlan
from agents.processes import uncancelled
from contracts.errors import RunFailed, StrongroomError

log = structlog.get_logger()

NAME_TAKEN: Final = "42P04"
_CLEANUP_PATIENCE_S: Final = 60.0
_CLEANUP_WAIT_S: Final = 1.0


async def clean_up(psql: Psql, plan: RestorePlan, scratch_oid: int, old_oid: int | None, *, finished: bool) -> None:
    """Finds out by the databases' oids how far things went, and completes or undoes them.

    Patient with a server that restarts, as one does after a crash of a backend.
    """
    deadline = asyncio.get_running_loop().time() + _CLEANUP_PATIENCE_S
    while True:
        try:
            if finished:
                await _drop_old(psql, plan, old_oid)
            else:
                await _undo(psql, plan, scratch_oid, old_oid)
            return
        except StrongroomError as exc:
            if asyncio.get_running_loop().time() >= deadline or exc.code != "engine.unreachable":
                log.error("restore.left_behind", target=plan.target, finished=finished, code=exc.code, reason=exc.message)
                return
        await asyncio.sleep(_CLEANUP_WAIT_S)


async def _drop_old(psql: Psql, plan: RestorePlan, old_oid: int | None) -> None:
    if old_oid is None:
        return
    name = (await names_of(psql, [old_oid], admin=plan.admin)).get(old_oid)
    if name is not None:
        await drop_database(psql, name, admin=plan.admin, server_major=plan.server_major)


async def _undo(psql: Psql, plan: RestorePlan, scratch_oid: int, old_oid: int | None) -> None:
    oids = [scratch_oid] if old_oid is None else [scratch_oid, old_oid]
    names = await names_of(psql, oids, admin=plan.admin)
    name = names.get(scratch_oid)
    if name is None:
        return
    old = names.get(old_oid) if old_oid is not None else None
    if name == plan.target and old is not None:
        await swap_in(psql, new=old, target=plan.target, old=plan.scratch, terminate=True, admin=plan.admin)
        name = plan.scratch
    await drop_database(psql, name, admin=plan.admin, server_major=plan.server_major)


async def create_scratch(psql: Psql, plan: RestorePlan) -> int:
    """The oid of a fresh database, as the dump wants it.  Raises: RunFailed `engine.*`, `restore.failed`."""
    tablespace = plan.attributes.tablespace
    create = create_statement(
        plan.scratch,
        plan.attributes,
        owner=None if plan.skip_roles or not plan.attributes.owner else plan.attributes.owner,
        tablespace=None if tablespace == "pg_default" or plan.missing_tablespaces else tablespace,
        server_major=plan.server_major,
    )

    try:
        # To its end in any case: a server goes on creating when the client that asked for it is gone.
        making = create_database(psql, plan.scratch, create, admin=plan.admin, run_id=plan.run_id)
        return await uncancelled(making, name=f"restore:create:{plan.scratch}")
    except StatementFailed as exc:
        if exc.sqlstate == NAME_TAKEN:
            what = f"another attempt at the same restore is still at work in database {plan.scratch!r}"
            raise RunFailed("restore.failed", f"{what}: wait until it has ended", detail=exc.detail) from exc
        await _drop_scratch(psql, plan)
        raise
    except BaseException:
        await uncancelled(_drop_scratch(psql, plan), name=f"restore:drop:{plan.scratch}")
        raise


async def _drop_scratch(psql: Psql, plan: RestorePlan) -> None:
    try:
        await drop_database(psql, plan.scratch, admin=plan.admin, server_major=plan.server_major)
    except StrongroomError as exc:
        log.error("restore.left_behind", target=plan.target, code=exc.code, reason=exc.message)
