"""What a physical backup is going to consist of, and whether it can be made at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from agents.drivers.base import BackupPlan, PlannedArtifact
from agents.drivers.postgresql.attributes import to_attributes
from agents.drivers.postgresql.counts import exact_counts
from agents.drivers.postgresql.discovery import ClusterFacts, DatabaseFacts, Position, look_at_cluster
from agents.drivers.postgresql.objects import DatabaseObjects
from agents.drivers.postgresql.physical.attributes import (
    CLUSTER_FORMAT,
    CLUSTER_KIND,
    CLUSTER_NAME,
    CLUSTER_SUFFIX,
    ClusterAttributes,
)
from agents.drivers.postgresql.physical.errors import RECIPE, missing_right, several_tablespaces
from agents.drivers.postgresql.physical.replication import identify_system
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.survey import describe, summarize, survey
from agents.drivers.postgresql.tools import Tool, find_tool, psql_version
from contracts.errors import RunFailed

_MANIFESTS_SINCE: Final = 13
_BUILT_IN_TABLESPACES: Final = frozenset({"pg_default", "pg_global"})
_FIXED_BYTES: Final = 2 * 1024 * 1024
"""Shared catalogues, transaction status and the manifest."""
_TAR_OVERHEAD: Final = 1.02
_WAL_SEGMENTS: Final = 1
"""Of a backup during which little is written."""


class PhysicalFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What of a server decides whether and how its files can be backed up."""

    may_replicate: bool
    wal_level: str
    max_wal_senders: int
    wal_segment_bytes: int
    outer_configuration: str | None
    """postgresql.conf, where it lies outside of the data directory; only with pg_read_all_settings do we know."""
    archives_wal: bool


# pg_settings leaves out what our role must not know, where current_setting would fail.
_FACTS: Final = """
SELECT json_build_object(
  'may_replicate', r.rolsuper OR r.rolreplication,
  'wal_level', current_setting('wal_level'),
  'max_wal_senders', current_setting('max_wal_senders')::int,
  'wal_segment_bytes', pg_size_bytes(current_setting('wal_segment_size')),
  'archives_wal', current_setting('archive_mode') <> 'off',
  'outer_configuration', (
    SELECT c.setting FROM pg_settings c, pg_settings d
    WHERE c.name = 'config_file' AND d.name = 'data_directory' AND NOT starts_with(c.setting, d.setting || '/')))
FROM pg_roles r WHERE r.rolname = current_user
"""


async def plan_physical_backup(psql: Psql) -> BackupPlan:
    """Raises: RunFailed `engine.*`; nothing was changed or locked for long."""
    cluster = await look_at_cluster(psql, sizes=True)
    facts = await psql.query(_FACTS, PhysicalFacts, "looking whether the cluster can be backed up by its files")
    _require_possible(cluster, facts)
    position = await identify_system(psql)
    pg_basebackup = await find_tool("pg_basebackup", psql.connection.bin_dir, at_least=cluster.major)
    reachable = [database for database in cluster.databases if database.allows_connections and database.connectable]
    ordinary = [database for database in reachable if not database.is_template]
    objects, left_out = await survey(psql, ordinary, in_recovery=cluster.in_recovery, needed=False)
    databases = [database for database in cluster.databases if not database.is_template]
    return BackupPlan(
        artifacts=[_artifact(cluster, facts, position, pg_basebackup)],
        inventory=describe(cluster, position, databases, objects, exact_counts(objects, unlogged=False)),
        summary=summarize(cluster, databases, objects),
        tools={
            "postgresql": cluster.version,
            "pg_basebackup": pg_basebackup.version,
            "psql": await psql_version(psql.connection.bin_dir),
        },
        warnings=[*left_out, *_warn(cluster, facts, databases, objects)],
    )


def _require_possible(cluster: ClusterFacts, facts: PhysicalFacts) -> None:
    if cluster.major < _MANIFESTS_SINCE:
        raise RunFailed(
            "engine.unsupported",
            f"PostgreSQL {cluster.version} writes no manifest by which a physical backup could be verified: it takes "
            f"{_MANIFESTS_SINCE} or newer; set the service's method to logical",
        )
    if not facts.may_replicate:
        raise missing_right(cluster.user)
    if facts.wal_level == "minimal" or facts.max_wal_senders == 0:
        raise RunFailed(
            "engine.unsupported",
            "a physical backup is taken by replication, for which the server is not set up "
            f"(wal_level = {facts.wal_level}, max_wal_senders = {facts.max_wal_senders}): set wal_level = replica and "
            "max_wal_senders = 10 there and restart it, or set the service's method to logical",
        )
    own = [name for name in cluster.tablespaces if name not in _BUILT_IN_TABLESPACES]
    if own:
        raise several_tablespaces(own)


def _artifact(cluster: ClusterFacts, facts: PhysicalFacts, position: Position, pg_basebackup: Tool) -> PlannedArtifact:
    files = sum(database.size_bytes or 0 for database in cluster.databases) + _FIXED_BYTES
    return PlannedArtifact(
        name=CLUSTER_NAME,
        kind=CLUSTER_KIND,
        format=CLUSTER_FORMAT,
        suffix=CLUSTER_SUFFIX,
        estimate_bytes=int(files * _TAR_OVERHEAD) + _WAL_SEGMENTS * facts.wal_segment_bytes,
        attributes=to_attributes(
            ClusterAttributes(
                server_version=cluster.version,
                tool_version=pg_basebackup.version,
                system_identifier=position.system_identifier,
                taken_on=cluster.role,
                has_configuration=facts.outer_configuration is None,
                archives_wal=facts.archives_wal,
            )
        ),
    )


def _warn(
    cluster: ClusterFacts,
    facts: PhysicalFacts,
    databases: Sequence[DatabaseFacts],
    objects: Mapping[str, DatabaseObjects],
) -> list[str]:
    warnings: list[str] = []
    unsized = [database.name for database in cluster.databases if database.size_bytes is None]
    if unsized:
        warnings.append(
            f"role {cluster.user!r} may not know the size of {', '.join(map(repr, unsized[:5]))}, so the backup will be "
            f"larger than estimated: GRANT pg_read_all_stats to it, see {RECIPE}"
        )
    closed = [one.name for one in databases if one.allows_connections and not one.connectable]
    if closed:
        names = ", ".join(map(repr, closed[:5]))
        warnings.append(f"role {cluster.user!r} may not connect to {names}: what is in there is backed up, but not listed")
    for name, found in objects.items():
        unlogged = sum(table.unlogged for table in found.tables)
        if unlogged:
            warnings.append(f"{name!r}: the rows of {unlogged} unlogged table(s) are not in a physical backup")
    if facts.outer_configuration is not None:
        warnings.append(
            f"the configuration ({facts.outer_configuration} and what lies beside it) is outside of the data directory and "
            "so not in the backup: keep a copy of it"
        )
    return warnings
