"""What an artifact's record says of its dump, so that a restore can be judged before anything is fetched or changed.

Records and manifests are open to whoever can read the bucket.  So a database's settings, grants and comment, which may
hold secrets (`ALTER DATABASE … SET app.jwt_secret = …`), are not here: they come out of the dump itself, see `properties`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agents.drivers.postgresql.discovery import ClusterFacts, DatabaseFacts
from agents.drivers.postgresql.objects import References
from agents.drivers.postgresql.tools import Tool, major_of
from contracts.errors import Corrupt
from contracts.records import ArtifactRecord, Attributes

DATABASE_KIND = "database"
GLOBALS_KIND = "globals"
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


class DatabaseAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Of a `database` artifact.  Every field has a default: records of older versions must go on being restorable."""

    server_version: str = ""
    tool_version: str = ""
    """Of the pg_dump that wrote it; no older pg_restore can read it."""
    encoding: str = "UTF8"
    lc_collate: str = ""
    lc_ctype: str = ""
    locale_provider: str = "libc"
    """`libc`, `icu` or `builtin`."""
    locale: str | None = None
    """Of ICU and the builtin provider."""
    icu_rules: str | None = None
    owner: str = ""
    tablespace: str = "pg_default"
    roles: list[str] = []
    """All roles that the dump names."""
    owners: list[str] = []
    bound_roles: list[str] = []
    extensions: list[str] = []
    tablespaces: list[str] = []

    @property
    def server_major(self) -> int:
        return major_of(self.server_version)

    @property
    def tool_major(self) -> int:
        return major_of(self.tool_version)


def database_attributes(
    cluster: ClusterFacts, database: DatabaseFacts, references: References, pg_dump: Tool
) -> DatabaseAttributes:
    row = database.row
    return DatabaseAttributes(
        server_version=cluster.version,
        tool_version=pg_dump.version,
        encoding=database.encoding,
        lc_collate=database.lc_collate,
        lc_ctype=database.lc_ctype,
        locale_provider=_PROVIDERS.get(row.datlocprovider, row.datlocprovider),
        locale=row.datlocale or row.daticulocale,
        icu_rules=row.daticurules,
        owner=database.owner,
        tablespace=database.tablespace,
        roles=references.roles,
        owners=references.owners,
        bound_roles=references.bound_roles,
        extensions=references.extensions,
        tablespaces=references.tablespaces,
    )


def to_attributes(value: msgspec.Struct) -> Attributes:
    """As a record keeps it."""
    built: Any = msgspec.to_builtins(value)
    attributes: Attributes = built
    return attributes


def parse_attributes(artifact: ArtifactRecord) -> DatabaseAttributes:
    """Raises: Corrupt `artifact.corrupt` for a record that says something else than a database artifact's."""
    try:
        return msgspec.convert(artifact.attributes, DatabaseAttributes)
    except msgspec.ValidationError as exc:
        raise Corrupt("artifact.corrupt", f"the record of artifact {artifact.name!r} is damaged: {exc}") from exc
