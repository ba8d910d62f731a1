"""Whether a restore can be done, judged before anything is fetched or changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agents.drivers.mariadb.attributes import DATABASE_KIND, DATADIR_KIND, USERS_KIND, parse_attributes
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.naming import target_names
from agents.drivers.mariadb.physical_restore import plan_physical_restore
from agents.drivers.mariadb.placing import require_replaceable
from agents.drivers.mariadb.quoting import quote_account
from agents.drivers.mariadb.rights import Grants
from agents.drivers.mariadb.server import ServerFacts, look_at_grants, look_at_server
from agents.drivers.mariadb.tools import series_of
from agents.drivers.mariadb.users_restore import MAX_SCRIPT_BYTES, too_long
from contracts.errors import RunFailed
from contracts.records import ArtifactRecord, RestoreTarget

DATABASE_RIGHTS: Final = (
    "SELECT",
    "INSERT",
    "CREATE",
    "DROP",
    "ALTER",
    "INDEX",
    "REFERENCES",
    "LOCK TABLES",
    "TRIGGER",
    "EVENT",
    "CREATE VIEW",
    "SHOW VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "SET USER",
)
"""On everything: what is unfinished lies in databases of other names, and objects belong to other accounts."""


async def check_restore(client: Client, artifacts: Sequence[ArtifactRecord], target: RestoreTarget) -> None:
    """Raises: InvalidInput, Conflict `restore.target_not_empty`, RunFailed `engine.*`, `restore.failed`."""
    target_names(artifacts, target)
    for artifact in artifacts:
        if artifact.kind == DATADIR_KIND:
            await plan_physical_restore(client, artifact, target)
    into_server = [artifact for artifact in artifacts if goes_into_server(artifact, target)]
    if not into_server:
        return
    facts = await look_at_server(client)
    names = target_names(artifacts, target, lower_case=facts.lower_case_table_names > 0)
    grants = await look_at_grants(client)
    _require_writable(facts, grants)
    for artifact in into_server:
        _require_version(facts, artifact)
        if artifact.kind == USERS_KIND:
            if artifact.plain_bytes > MAX_SCRIPT_BYTES:
                raise too_long(artifact)
            _require(facts, grants.missing(["CREATE USER"]) + grants.missing(["SELECT"], "mysql"), "accounts")
    if any(artifact.kind == DATABASE_KIND for artifact in into_server):
        rights = [*DATABASE_RIGHTS, *(["SUPER"] if facts.log_bin and not facts.trusts_creators else [])]
        _require(facts, grants.missing(rights), "databases")
        for name in names.values():
            await require_replaceable(client, name, replace=target.replace)


def goes_into_server(artifact: ArtifactRecord, target: RestoreTarget) -> bool:
    """Accounts that come with a data directory are in it already."""
    return artifact.kind == DATABASE_KIND or (artifact.kind == USERS_KIND and not target.directory)


def _require_writable(facts: ServerFacts, grants: Grants) -> None:
    if facts.read_only and not (grants.has("READ_ONLY ADMIN") or grants.has("SUPER")):
        raise RunFailed(
            "restore.failed", "the target server is read-only, as replicas are: restore on its primary, or set read_only off"
        )


def _require_version(facts: ServerFacts, artifact: ArtifactRecord) -> None:
    version = parse_attributes(artifact).server_version
    if series_of(facts.version) < series_of(version):
        raise RunFailed(
            "engine.version_skew",
            f"the dump of {artifact.name!r} is of MariaDB {version} and the target has {facts.version}: restore into "
            f"{'.'.join(map(str, series_of(version)))} or newer",
        )


def _require(facts: ServerFacts, missing: Sequence[str], what: str) -> None:
    if missing:
        statement = f"GRANT {', '.join(missing)} ON *.* TO {quote_account(facts.account)}"
        raise RunFailed(
            "engine.permission",
            f"the account {facts.account!r} lacks {', '.join(missing)}, which restores of {what} need: {statement}; "
            "deploy/mariadb/restore-account.sql grants all that restores need",
        )
