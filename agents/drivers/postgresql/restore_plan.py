"""What is known of a database's restore before its first byte."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from agents.drivers.postgresql.attributes import DatabaseAttributes, parse_attributes
from agents.drivers.postgresql.discovery import look_at_cluster
from agents.drivers.postgresql.naming import UNFINISHED_NAMES, target_names
from agents.drivers.postgresql.placing import admin_database
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import database_conninfo
from agents.drivers.postgresql.tools import Tool, find_tool
from contracts.records import ArtifactRecord, RestoreTarget


@dataclass(frozen=True, kw_only=True)
class RestorePlan:
    """Everything that is known before the first byte."""

    artifact: ArtifactRecord
    attributes: DatabaseAttributes
    target: str
    scratch: str
    replaced: str
    replace: bool
    skip_roles: bool
    missing_tablespaces: list[str]
    pg_restore: Tool
    admin: str
    """The database to be connected to while others are renamed."""
    server_major: int
    run_id: str


async def plan_restore(psql: Psql, artifact: ArtifactRecord, target: RestoreTarget, run_id: str) -> RestorePlan:
    """Raises: InvalidInput, RunFailed `engine.*`."""
    # The target's other names are those of other artifacts.
    mine = {old: new for old, new in target.rename.items() if old == artifact.name}
    wanted = msgspec.structs.replace(target, rename=mine)
    name = target_names([artifact], wanted)[artifact.name]
    scratch, replaced = UNFINISHED_NAMES.scratch(name, run_id), UNFINISHED_NAMES.replaced(name, run_id)
    attributes = parse_attributes(artifact)
    cluster = await look_at_cluster(psql)
    tablespaces = {*attributes.tablespaces, attributes.tablespace}
    return RestorePlan(
        artifact=artifact,
        attributes=attributes,
        target=name,
        scratch=scratch,
        replaced=replaced,
        replace=target.replace,
        skip_roles=target.skip_roles,
        missing_tablespaces=sorted(tablespaces - set(cluster.tablespaces)),
        pg_restore=await find_tool(
            "pg_restore", psql.connection.bin_dir, at_least=max(cluster.major, attributes.tool_major)
        ),
        admin=admin_database(psql, name, scratch, replaced),
        server_major=cluster.major,
        run_id=run_id,
    )


def pg_restore_argv(plan: RestorePlan) -> list[str]:
    """The command line; the dump comes on standard input."""
    argv = [plan.pg_restore.path, f"--dbname={database_conninfo(plan.scratch)}", "--exit-on-error", "--no-password"]
    if plan.skip_roles:
        argv += ["--no-owner", "--no-acl"]
    if plan.missing_tablespaces:
        argv.append("--no-tablespaces")
    return argv
