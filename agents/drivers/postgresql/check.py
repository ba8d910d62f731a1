"""Whether a restore can be done, judged before anything is fetched or changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from agents.drivers.postgresql.attributes import GLOBALS_KIND, DatabaseAttributes, parse_attributes
from agents.drivers.postgresql.discovery import ClusterFacts, DatabaseFacts, look_at_cluster
from agents.drivers.postgresql.globals_restore import require_bearable_size
from agents.drivers.postgresql.naming import target_names
from agents.drivers.postgresql.placing import look_at_contents
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import quote_identifier, sql
from agents.drivers.postgresql.tools import find_tool
from contracts.errors import Conflict, RunFailed
from contracts.records import ArtifactRecord, RestoreTarget

_SHOWN: Final = 10


class TargetFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a target cluster has, as far as dumps refer to it."""

    roles: list[str]
    memberships: list[str]
    """Roles that ours may give objects to."""
    extensions: list[str]
    """Those that could be created."""


class Occupancy(msgspec.Struct, frozen=True, kw_only=True):
    """What would stand in the way of replacing a database."""

    owned: bool
    sessions: int
    slots: int
    subscriptions: int
    prepared: int


_TARGET = """
SELECT json_build_object(
  'roles', (SELECT json_agg(rolname) FROM pg_roles),
  'memberships', coalesce((SELECT json_agg(rolname) FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')), '[]'),
  'extensions', coalesce((SELECT json_agg(name) FROM pg_available_extensions), '[]'))
"""
_OCCUPANCY = """
SELECT json_build_object(
  'owned', pg_has_role(d.datdba, 'USAGE'),
  'sessions', (SELECT count(*) FROM pg_stat_activity a WHERE a.datid = d.oid AND a.pid <> pg_backend_pid()
               AND a.backend_type = 'client backend'),
  'slots', (SELECT count(*) FROM pg_replication_slots s WHERE s.database = d.datname),
  'subscriptions', (SELECT count(subname) FROM pg_subscription s WHERE s.subdbid = d.oid),
  'prepared', (SELECT count(*) FROM pg_prepared_xacts x WHERE x.database = d.datname))
FROM pg_database d WHERE d.datname = {name}
"""


async def check_restore(psql: Psql, artifacts: Sequence[ArtifactRecord], target: RestoreTarget) -> None:
    """Raises: InvalidInput, Conflict `restore.target_not_empty`, RunFailed `engine.*`, `restore.failed`."""
    names = target_names(artifacts, target)
    cluster = await look_at_cluster(psql)
    _require_writable(cluster)
    facts = await psql.query(_TARGET, TargetFacts, "looking at the target's roles")
    roles_follow = any(artifact.kind == GLOBALS_KIND for artifact in artifacts) and not target.skip_roles
    for artifact in artifacts:
        if artifact.kind == GLOBALS_KIND:
            require_bearable_size(artifact)
            _require_role_creation(cluster, target)
            continue
        _require_database_creation(cluster)
        attributes = parse_attributes(artifact)
        await _require_version(psql, cluster, artifact, attributes)
        _require_extensions(artifact, attributes, facts)
        if target.skip_roles:
            _require_bound_roles(artifact, attributes, facts)
        else:
            _require_roles(cluster, artifact, attributes, facts, roles_follow=roles_follow)
        existing = cluster.database(names[artifact.name])
        if existing is not None:
            await require_replaceable(psql, existing, replace=target.replace)


async def require_replaceable(psql: Psql, existing: DatabaseFacts, *, replace: bool, admin: str | None = None) -> None:
    """Raises: Conflict `restore.target_not_empty`, RunFailed `engine.permission`, `restore.failed`."""
    name = existing.name
    select = sql(_OCCUPANCY, name=name)
    found = await psql.query(select, Occupancy, f"looking who uses database {name!r}", database=admin)
    if not found.owned:
        raise RunFailed(
            "engine.permission",
            f"database {name!r} exists and belongs to {existing.owner!r}, and role {psql.connection.user!r} may not replace "
            f"it: rename what you restore, or GRANT {quote_identifier(existing.owner)} "
            f"TO {quote_identifier(psql.connection.user)}",
        )
    for count, what in (
        (found.slots, "logical replication slot(s)"),
        (found.subscriptions, "subscription(s)"),
        (found.prepared, "prepared transaction(s)"),
    ):
        if count:
            raise RunFailed(
                "restore.failed", f"database {name!r} cannot be replaced while it has {count} {what}: remove them"
            )
    if replace:
        return
    if not existing.allows_connections:
        raise Conflict(
            "restore.target_not_empty",
            f"database {name!r} exists and takes no connections, so it cannot be seen whether it is empty: "
            "restore with --replace, or under another name with --rename",
        )
    contents = await look_at_contents(psql, name)
    if not contents.empty:
        raise Conflict(
            "restore.target_not_empty",
            f"database {name!r} holds {contents}: restore with --replace to lose that, or under another name with --rename",
        )
    if found.sessions:
        raise RunFailed(
            "restore.failed",
            f"database {name!r} is empty, but {found.sessions} session(s) are connected to it: close them, "
            "or restore with --replace to disconnect them",
        )


def _require_writable(cluster: ClusterFacts) -> None:
    if cluster.in_recovery:
        raise RunFailed(
            "restore.failed", "the target server is a replica, which cannot be written to: restore on its primary"
        )


def _require_database_creation(cluster: ClusterFacts) -> None:
    if not cluster.may_create_databases:
        role = quote_identifier(cluster.user)
        raise RunFailed(
            "engine.permission",
            f"role {cluster.user!r} may not create databases: ALTER ROLE {role} CREATEDB, as a superuser",
        )


def _require_role_creation(cluster: ClusterFacts, target: RestoreTarget) -> None:
    if not cluster.may_create_roles and not target.skip_roles:
        role = quote_identifier(cluster.user)
        raise RunFailed(
            "engine.permission",
            f"role {cluster.user!r} may not create roles: ALTER ROLE {role} CREATEROLE as a superuser, or use --skip-roles",
        )


async def _require_version(
    psql: Psql, cluster: ClusterFacts, artifact: ArtifactRecord, attributes: DatabaseAttributes
) -> None:
    if cluster.major < attributes.server_major:
        raise RunFailed(
            "engine.version_skew",
            f"the dump of {artifact.name!r} is of PostgreSQL {attributes.server_version} and the target has "
            f"{cluster.version}: restore into {attributes.server_major} or newer",
        )
    await find_tool("pg_restore", psql.connection.bin_dir, at_least=max(cluster.major, attributes.tool_major))


def _require_extensions(artifact: ArtifactRecord, attributes: DatabaseAttributes, facts: TargetFacts) -> None:
    missing = sorted(set(attributes.extensions) - set(facts.extensions))
    if missing:
        raise RunFailed(
            "restore.failed",
            f"the dump of {artifact.name!r} needs extensions that the target's server does not have: "
            f"{_shorten(missing)}; install their packages there",
        )


def _require_roles(
    cluster: ClusterFacts,
    artifact: ArtifactRecord,
    attributes: DatabaseAttributes,
    facts: TargetFacts,
    *,
    roles_follow: bool,
) -> None:
    needed = {*attributes.roles, *attributes.owners, *([attributes.owner] if attributes.owner else [])}
    missing = sorted(needed - set(facts.roles))
    if missing and not roles_follow:
        raise RunFailed(
            "restore.failed",
            f"the dump of {artifact.name!r} names roles that the target does not have: {_shorten(missing)}; restore the "
            "globals as well, create them, or give everything to the restoring role with --skip-roles",
        )
    owners = {*attributes.owners, *([attributes.owner] if attributes.owner else [])}
    foreign = sorted(owners - set(facts.memberships))
    if foreign and not cluster.is_superuser:
        grants = " ".join(
            f"GRANT {quote_identifier(name)} TO {quote_identifier(cluster.user)};" for name in foreign[:_SHOWN]
        )
        raise RunFailed(
            "engine.permission",
            f"role {cluster.user!r} cannot give objects of {artifact.name!r} to their owners {_shorten(foreign)}: "
            f"restore as a superuser, use --skip-roles, or run: {grants}",
        )


def _require_bound_roles(artifact: ArtifactRecord, attributes: DatabaseAttributes, facts: TargetFacts) -> None:
    missing = sorted(set(attributes.bound_roles) - set(facts.roles))
    if missing:
        raise RunFailed(
            "restore.failed",
            f"row-level policies or user mappings in {artifact.name!r} name roles that the target does not have: "
            f"{_shorten(missing)}; create them there, since --skip-roles cannot put another in their place",
        )


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
