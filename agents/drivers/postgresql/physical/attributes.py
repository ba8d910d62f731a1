"""What a physical backup's record says of it: open to whoever can read the bucket, so nothing confidential."""

from __future__ import annotations

from typing import Final

import msgspec

from agents.drivers.postgresql.tools import major_of
from contracts.errors import Corrupt
from contracts.records import ArtifactRecord

CLUSTER_KIND: Final = "cluster"
CLUSTER_NAME: Final = "cluster"
CLUSTER_FORMAT: Final = "pg_basebackup-tar"
CLUSTER_SUFFIX: Final = "basebackup.tar.zst.age"


class ClusterAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Of a `cluster` artifact.  Every field has a default: records of older versions must go on being restorable."""

    server_version: str = ""
    """Only servers of the same major version and processor architecture can use the data directory."""
    tool_version: str = ""
    """Of the pg_basebackup that wrote it."""
    system_identifier: str = ""
    taken_on: str = "primary"
    """`primary` or `replica`."""
    has_configuration: bool = True
    """Whether postgresql.conf lay in the data directory, and so is in the archive."""
    archives_wal: bool = False
    """Whether the server has an `archive_command`, which a restored one would run as well."""

    @property
    def server_major(self) -> int:
        return major_of(self.server_version)


def parse_attributes(artifact: ArtifactRecord) -> ClusterAttributes:
    """Raises: Corrupt `artifact.corrupt` for a record that says something else than a cluster artifact's."""
    try:
        return msgspec.convert(artifact.attributes, ClusterAttributes)
    except msgspec.ValidationError as exc:
        raise Corrupt("artifact.corrupt", f"the record of artifact {artifact.name!r} is damaged: {exc}") from exc
