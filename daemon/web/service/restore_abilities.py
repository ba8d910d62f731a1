"""What a restore of a backup can be asked for, by the kind of service and of artifact: what the wizard offers.

The agent decides; this only keeps people from asking for what it would refuse.  A test holds it against the drivers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.records import ArtifactRecord


class RestoreAbilities(msgspec.Struct, frozen=True, kw_only=True):
    """As `agents.drivers.base.Capabilities` has them."""

    select: bool = False
    """Single artifacts without the others."""
    rename: bool = False
    directory: bool = False
    """Into a directory of the host, which may be named."""
    needs_directory: bool = False
    """And has to be: there is no place that it came from."""
    paths: bool = False
    """Single files of a tree."""
    skip_roles: bool = False


_WHOLE: Final = {
    ("postgresql", "cluster"): RestoreAbilities(directory=True, needs_directory=True),
    ("mariadb", "datadir"): RestoreAbilities(select=True, directory=True, needs_directory=True),
}
"""By the kind of service, and of the artifact that makes a backup a physical one."""
_OF_KIND: Final = {
    "postgresql": RestoreAbilities(select=True, rename=True, skip_roles=True),
    "mariadb": RestoreAbilities(select=True, rename=True),
    "qdrant": RestoreAbilities(select=True, rename=True),
    "elasticsearch": RestoreAbilities(select=True, rename=True),
    "nats": RestoreAbilities(select=True, rename=True),
    "meilisearch": RestoreAbilities(directory=True, needs_directory=True),
    "shared-storage": RestoreAbilities(directory=True, paths=True),
}
_RENAMABLE: Final = frozenset({"database", "collection", "index", "stream"})
"""Kinds of artifacts; KV and object buckets of NATS bear their names in each message, and roles belong to a whole server."""


def restore_abilities(kind: str, artifacts: Sequence[ArtifactRecord]) -> RestoreAbilities:
    """Of a backup with these artifacts; of a kind that this version does not know, only what every kind can do."""
    for artifact in artifacts:
        if (kind, artifact.kind) in _WHOLE:
            return _WHOLE[kind, artifact.kind]
    return _OF_KIND.get(kind, RestoreAbilities())


def is_renamable(artifact: ArtifactRecord) -> bool:
    """Whether it can get another name, where its kind of backup allows that at all."""
    return artifact.kind in _RENAMABLE
