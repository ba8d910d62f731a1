"""What a logical backup is going to consist of: every look at the cluster that a backup needs before its first byte."""

from __future__ import annotations

from typing import Final

from agents.drivers.base import BackupPlan, PlannedArtifact
from agents.drivers.postgresql.attributes import (
    DATABASE_KIND,
    GLOBALS_KIND,
    DatabaseAttributes,
    database_attributes,
    to_attributes,
)
from agents.drivers.postgresql.counts import exact_counts
from agents.drivers.postgresql.discovery import ClusterFacts, DatabaseFacts, find_position, look_at_cluster, select_databases
from agents.drivers.postgresql.inventory import look_at_references
from agents.drivers.postgresql.objects import DatabaseObjects
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.rights import DatabaseRights, look_at_rights, require_connect, require_rights, warn_of_rights
from agents.drivers.postgresql.survey import describe, summarize, survey
from agents.drivers.postgresql.tools import Tool, find_tool, psql_version
from contracts.errors import RunFailed
from contracts.services import PostgreSQLOptions

GLOBALS_NAME: Final = "globals"
_SMALLEST_ESTIMATE: Final = 4096
_GLOBALS_BYTES_PER_ROLE: Final = 500


async def plan_backup(psql: Psql, options: PostgreSQLOptions) -> BackupPlan:
    """Raises: RunFailed `engine.*`; nothing was changed or locked for long."""
    cluster = await look_at_cluster(psql, sizes=True)
    databases, warnings = select_databases(cluster.databases, options.include, options.exclude)
    names = [database.name for database in databases]
    require_connect(cluster, names)
    pg_dump = await find_tool("pg_dump", psql.connection.bin_dir, at_least=cluster.major)
    tools = {
        "postgresql": cluster.version,
        "pg_dump": pg_dump.version,
        "psql": await psql_version(psql.connection.bin_dir),
    }
    warnings += _warn_of_newer_tool(pg_dump, cluster)

    rights: list[tuple[str, DatabaseRights]] = []
    for name in names:
        if (found := await _rights(psql, cluster, name, named=name in options.include)) is not None:
            rights.append((name, found))
        else:
            warnings.append(f"{name!r}: it was dropped while the backup was being planned")
    names = [name for name, _ in rights]
    databases = [database for database in databases if database.name in names]
    require_rights(cluster, rights)
    warnings += warn_of_rights(cluster, rights)

    artifacts: list[PlannedArtifact] = []
    if options.globals:
        pg_dumpall = await find_tool("pg_dumpall", psql.connection.bin_dir, at_least=cluster.major)
        tools["pg_dumpall"] = pg_dumpall.version
        artifacts.append(_globals_artifact(cluster, names))
        if not cluster.reads_role_passwords:
            warnings.append(
                f"role {cluster.user!r} may not read pg_authid: roles are backed up without their passwords, "
                "which have to be set anew after a restore"
            )
    objects, left_out = await survey(psql, databases, in_recovery=cluster.in_recovery)
    warnings += left_out
    for database in databases:
        references = await look_at_references(psql, database.name)
        attributes = database_attributes(cluster, database, references, pg_dump)
        artifacts.append(_database_artifact(database, attributes, objects.get(database.name)))
    return BackupPlan(
        artifacts=artifacts,
        inventory=describe(cluster, await find_position(psql), databases, objects, exact_counts(objects, unlogged=True)),
        summary=summarize(cluster, databases, objects),
        tools=tools,
        warnings=warnings,
        parallel=options.parallel,
    )


def globals_name(databases: list[str]) -> str:
    """`globals`, unless a database bears that name: names of artifacts are unique in a backup."""
    name = GLOBALS_NAME
    while name in databases:
        name = f"({name})"
    return name


async def _rights(psql: Psql, cluster: ClusterFacts, name: str, *, named: bool) -> DatabaseRights | None:
    """None for a database that is gone meanwhile, unless it was asked for by name."""
    try:
        return await look_at_rights(psql, cluster, name)
    except RunFailed as exc:
        if exc.code != "engine.database_not_found" or named:
            raise
        return None


def _database_artifact(
    database: DatabaseFacts, attributes: DatabaseAttributes, objects: DatabaseObjects | None
) -> PlannedArtifact:
    estimate = objects.heap_estimate_bytes if objects is not None else database.size_bytes or 0
    return PlannedArtifact(
        name=database.name,
        kind=DATABASE_KIND,
        format="pg_dump-custom",
        suffix="pgdump.zst.age",
        estimate_bytes=max(estimate, _SMALLEST_ESTIMATE),
        attributes=to_attributes(attributes),
    )


def _globals_artifact(cluster: ClusterFacts, databases: list[str]) -> PlannedArtifact:
    return PlannedArtifact(
        name=globals_name(databases),
        kind=GLOBALS_KIND,
        format="sql",
        suffix="sql.zst.age",
        estimate_bytes=_SMALLEST_ESTIMATE + _GLOBALS_BYTES_PER_ROLE * cluster.role_count,
        attributes={
            "server_version": cluster.version,
            "role_passwords": cluster.reads_role_passwords,
            "role_count": cluster.role_count,
        },
    )


def _warn_of_newer_tool(pg_dump: Tool, cluster: ClusterFacts) -> list[str]:
    if pg_dump.major == cluster.major:
        return []
    what = f"pg_dump {pg_dump.version} is newer than the server ({cluster.version}): its dumps may not restore into that"
    return [f"{what}; install postgresql-client-{cluster.major}"]
