"""What a backup is going to consist of, and whether the account's rights suffice for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from agents.drivers.base import BackupPlan, PlannedArtifact
from agents.drivers.mariadb.attributes import DATABASE_KIND, DATADIR_KIND, USERS_KIND, DumpAttributes, to_attributes
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.datadir import look_at_datadir
from agents.drivers.mariadb.errors import DENIED, StatementFailed
from agents.drivers.mariadb.health import replication_channels
from agents.drivers.mariadb.inventory import (
    Database,
    Table,
    count_rows,
    describe,
    list_accounts,
    list_databases,
    list_extras,
    list_tables,
    object_name,
    public_has_rights,
)
from agents.drivers.mariadb.quoting import quote_identifier
from agents.drivers.mariadb.rights import DUMP_RIGHTS, Grants, lacking, logical_rights, physical_rights
from agents.drivers.mariadb.server import ServerFacts, look_at_grants, look_at_server
from agents.drivers.mariadb.tools import Tool, find_tool, require_not_older, require_same_series
from agents.drivers.selecting import select
from contracts.errors import RunFailed
from contracts.records import Attributes
from contracts.services import MariaDBOptions
from contracts.wire import utc_now

DATADIR_NAME: Final = "datadir"
USERS_NAME: Final = "users"
_SMALLEST_ESTIMATE: Final = 64 * 1024
_BYTES_PER_ACCOUNT: Final = 600
_SHOWN: Final = 10
_REFERENCES: Final = """
SELECT JSON_OBJECT('name', table_schema, 'text', view_definition, 'is_default', 0) FROM information_schema.views
WHERE table_schema NOT IN ('information_schema', 'performance_schema', 'mysql', 'sys')
UNION ALL SELECT JSON_OBJECT('name', table_schema, 'text', column_default, 'is_default', 1) FROM information_schema.columns
WHERE column_default LIKE '%nextval(%' OR column_default LIKE '%lastval(%'
"""
_OUTSIDE: Final = """
SELECT JSON_OBJECT('name', name) FROM information_schema.innodb_sys_tablespaces
WHERE filename LIKE '/%' AND name LIKE '%/%' LIMIT 100
"""


async def plan_backup(client: Client, options: MariaDBOptions) -> BackupPlan:
    """Raises: RunFailed `engine.*`."""
    facts = await look_at_server(client)
    if facts.galera_trouble:
        raise RunFailed(
            "engine.degraded", f"{facts.galera_trouble}: its data may not be the cluster's; back up another node"
        )
    grants = await look_at_grants(client)
    if options.users and not (grants.has("SELECT", "mysql")):
        raise lacking(facts.account, ["SELECT"], "a backup of accounts (or set users to false)", database="mysql")
    if options.method == "physical":
        return await _plan_physical(client, options, facts, grants)
    return await _plan_logical(client, options, facts, grants)


async def _plan_physical(client: Client, options: MariaDBOptions, facts: ServerFacts, grants: Grants) -> BackupPlan:
    missing = grants.missing(physical_rights(log_bin=facts.log_bin))
    if missing:
        raise lacking(facts.account, missing, "a physical backup")
    tool = await find_tool("mariadb-backup", client.connection.bin_dir)
    require_same_series(tool, facts.version)
    datadir = await look_at_datadir(facts.datadir_path)
    warnings = []
    if not grants.has("SELECT"):
        warnings.append(
            "the inventory has only what the account may SELECT from: grant it SELECT on *.*, so that restores can be "
            "compared"
        )
    outside = [row["name"] for row in await client.rows(_OUTSIDE, dict[str, str], "looking for tables that lie elsewhere")]
    if outside:
        warnings.append(f"tables outside the data directory will be restored into it: {_shorten(outside)}")
    artifacts = [
        PlannedArtifact(
            name=DATADIR_NAME,
            kind=DATADIR_KIND,
            format="mbstream",
            suffix="mbstream.zst.age",
            estimate_bytes=max(_SMALLEST_ESTIMATE, datadir.size_bytes),
            attributes=to_attributes(DumpAttributes(server_version=facts.version, tool_version=tool.version)),
        )
    ]
    databases = await list_databases(client)
    return await _plan(client, options, facts, artifacts, databases, warnings, {"mariadb-backup": tool.version}, parallel=1)


async def _plan_logical(client: Client, options: MariaDBOptions, facts: ServerFacts, grants: Grants) -> BackupPlan:
    missing = grants.missing(logical_rights(log_bin=facts.log_bin))
    if missing:
        raise lacking(facts.account, missing, "a logical backup of a server with a binary log")
    tool = await find_tool("mariadb-dump", client.connection.bin_dir)
    require_not_older(tool, facts.version)
    found = {database.name: database for database in await list_databases(client)}
    known = list(found)
    names, warnings = select(found, options.include, options.exclude, what="database")
    if not grants.has("SELECT") and not options.include:
        # What an account has no right in, it does not even see: a backup of all would silently be one of some.
        raise lacking(facts.account, ["SELECT"], "a backup of all databases")
    for name in names:
        missing = grants.missing(DUMP_RIGHTS, name)
        if missing:
            everywhere = not any(grants.has(right, name) for right in DUMP_RIGHTS if right not in grants.everywhere)
            raise lacking(facts.account, missing, "a logical backup", database=None if everywhere else name)
    references = await client.rows(_REFERENCES, _Reference, "looking what its views refer to")
    tables = await list_tables(client)
    artifacts = [
        PlannedArtifact(
            name=name,
            kind=DATABASE_KIND,
            format="sql",
            suffix="sql.zst.age",
            estimate_bytes=_SMALLEST_ESTIMATE + sum(table.size_bytes for table in tables if table.database == name),
            attributes=to_attributes(
                DumpAttributes(
                    server_version=facts.version,
                    tool_version=tool.version,
                    charset=found[name].charset,
                    collation=found[name].collation,
                    sequence_defaults=any(found.is_default and found.name == name for found in references),
                    refers_to=_referred(name, references, known),
                )
            ),
        )
        for name in names
    ]
    warnings += _logical_warnings([table for table in tables if table.database in names])
    databases = [found[name] for name in names]
    tools = {"mariadb-dump": tool.version}
    return await _plan(client, options, facts, artifacts, databases, warnings, tools, parallel=options.parallel)


async def _plan(
    client: Client,
    options: MariaDBOptions,
    facts: ServerFacts,
    artifacts: list[PlannedArtifact],
    databases: Sequence[Database],
    warnings: list[str],
    tools: dict[str, str],
    *,
    parallel: int,
) -> BackupPlan:
    found = await take_inventory(client, options, facts, databases)
    if options.users:
        if await public_has_rights(client):
            what = "rights of PUBLIC are not in the backup of accounts, since mariadb-dump leaves them out"
            warnings = [*warnings, f"{what}: keep what SHOW GRANTS FOR PUBLIC says"]
        artifacts = [*artifacts, await _users_artifact(client, facts, artifacts, len(found.inventory["accounts"]))]
    summary: Attributes = {
        "method": options.method,
        "databases": len(databases),
        "tables": sum(1 for table in found.tables if table.holds_rows),
        "size_bytes": sum(table.size_bytes for table in found.tables),
        "server_version": facts.version,
        "role": found.inventory["role"],
    }
    return BackupPlan(
        artifacts=artifacts,
        inventory=found.inventory,
        summary=summary,
        tools={"mariadb": facts.version, **tools},
        warnings=[*warnings, *found.warnings],
        parallel=parallel,
    )


class _Reference(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """Of the database that has it."""
    text: str
    is_default: bool


def _referred(database: str, references: Sequence[_Reference], known: Sequence[str]) -> list[str]:
    texts = [found.text for found in references if found.name == database]
    others = [name for name in known if name != database]
    return [name for name in others if any(f"{quote_identifier(name)}." in text for text in texts)]


@dataclass(frozen=True)
class Found:
    inventory: dict[str, Any]
    tables: list[Table]
    warnings: list[str]


async def take_inventory(
    client: Client, options: MariaDBOptions, facts: ServerFacts, databases: Sequence[Database]
) -> Found:
    """What is in these databases, and where the server is.  Raises: RunFailed `engine.*`."""
    names = {database.name for database in databases}
    tables = [table for table in await list_tables(client) if table.database in names]
    extras = [found for found in await list_extras(client) if found.database in names]
    counts, warnings = await count_rows(client, tables)
    inventory: dict[str, Any] = {
        "taken_at": utc_now().isoformat(),
        "server_version": facts.version,
        "method": options.method,
        "role": "replica" if await replication_channels(client) else "primary",
        "position": await find_position(client, facts),
        "accounts": await list_accounts(client) if options.users else [],
        **describe(databases, tables, extras, counts),
    }
    return Found(inventory, tables, warnings)


async def find_position(client: Client, facts: ServerFacts) -> dict[str, str]:
    """Where the binary log and replication are now: a little before the dump, whose own position is inside it."""
    position = {"gtid_current_pos": facts.gtid_current_pos}
    if facts.is_galera:
        position["wsrep_cluster_state_uuid"] = facts.wsrep_cluster_state_uuid or ""
    if facts.log_bin:
        try:
            for row in await client.table("SHOW MASTER STATUS", "asking for the position of the binary log"):
                position |= {"binlog_file": row.get("File", ""), "binlog_position": row.get("Position", "")}
        except StatementFailed as exc:
            if exc.number not in DENIED:
                raise
    return position


async def _users_artifact(
    client: Client, facts: ServerFacts, others: Sequence[PlannedArtifact], account_count: int
) -> PlannedArtifact:
    tool: Tool = await find_tool("mariadb-dump", client.connection.bin_dir)
    require_not_older(tool, facts.version)
    name = USERS_NAME
    while any(other.name == name for other in others):  # a database may be called so
        name += "_"
    return PlannedArtifact(
        name=name,
        kind=USERS_KIND,
        format="sql",
        suffix="sql.zst.age",
        estimate_bytes=_SMALLEST_ESTIMATE + _BYTES_PER_ACCOUNT * account_count,
        attributes=to_attributes(DumpAttributes(server_version=facts.version, tool_version=tool.version)),
    )


def _logical_warnings(tables: Sequence[Table]) -> list[str]:
    warnings = []
    unsafe = [object_name(table.database, table.name) for table in tables if table.holds_rows and not table.is_transactional]
    if unsafe:
        warnings.append(
            f"tables whose engine has no transactions are only consistent if nobody wrote to them: {_shorten(unsafe)}"
        )
    versioned = [object_name(table.database, table.name) for table in tables if table.type == "SYSTEM VERSIONED"]
    if versioned:
        warnings.append(
            "of system-versioned tables only the current rows are in a logical backup, not their history: "
            f"{_shorten(versioned)}"
        )
    return warnings


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
