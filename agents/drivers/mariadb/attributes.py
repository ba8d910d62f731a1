"""What an artifact's record says of its dump, so that a restore can be judged before anything is fetched or changed.

Records and manifests are open to whoever can read the bucket, so nothing of the content is here.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.errors import Corrupt
from contracts.records import ArtifactRecord, Attributes

DATADIR_KIND: Final = "datadir"
DATABASE_KIND: Final = "database"
USERS_KIND: Final = "users"
KINDS: Final = frozenset({DATADIR_KIND, DATABASE_KIND, USERS_KIND})


class DumpAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Of any artifact.  Every field has a default: records of older versions must go on being restorable."""

    server_version: str = ""
    tool_version: str = ""
    """Of the program that wrote it."""
    charset: str = ""
    """Of a database: its default character set."""
    collation: str = ""
    sequence_defaults: bool = False
    """Whether columns have defaults that name the database itself (``nextval(`shop`.`ids`)``)."""
    refers_to: list[str] = []
    """Other databases that its views select from."""


def to_attributes(value: DumpAttributes) -> Attributes:
    """As a record keeps it: only what is known."""
    built: Any = {key: found for key, found in msgspec.to_builtins(value).items() if found not in ("", False, [])}
    attributes: Attributes = built
    return attributes


def parse_attributes(artifact: ArtifactRecord) -> DumpAttributes:
    """Raises: Corrupt `artifact.corrupt` for a record that says something else."""
    try:
        return msgspec.convert(artifact.attributes, DumpAttributes)
    except msgspec.ValidationError as exc:
        raise Corrupt("artifact.corrupt", f"the record of artifact {artifact.name!r} is damaged: {exc}") from exc
