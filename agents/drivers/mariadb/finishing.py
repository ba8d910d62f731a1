"""Whether what was dumped is still all there is."""

from __future__ import annotations

from agents.drivers.base import BackupPlan
from agents.drivers.mariadb.attributes import DATABASE_KIND
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.inventory import list_databases
from agents.drivers.selecting import select
from contracts.errors import RunFailed
from contracts.services import MariaDBOptions


async def finish_backup(client: Client, options: MariaDBOptions, plan: BackupPlan) -> list[str]:
    """Warnings of databases that came or went since the plan.  A data directory has whatever was there at its end."""
    if options.method == "physical":
        return []
    planned = {artifact.name for artifact in plan.artifacts if artifact.kind == DATABASE_KIND}
    known = [database.name for database in await list_databases(client)]
    try:
        present = set(select(known, options.include, options.exclude, what="database")[0])
    except RunFailed:  # one that is named was dropped
        present = set(known) & planned
    came, went = sorted(present - planned), sorted(planned - present)
    return [
        *(f"database {name!r} was created during the backup and is not in it" for name in came),
        *(f"database {name!r} was dropped after it was backed up" for name in went),
    ]
