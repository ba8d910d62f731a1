"""What we read of Qdrant's answers; fields that we do not need are left out.

Source: Qdrant's OpenAPI document, `docs/redoc/master/openapi.json` in qdrant/qdrant.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

T = TypeVar("T")

ACTIVE = "Active"
"""The state of a replica that has all of its shard's data."""


class Answer(msgspec.Struct, Generic[T], frozen=True):
    """The envelope; `result` is absent for what was accepted but is not waited for."""

    result: T


class Version(msgspec.Struct, frozen=True):
    version: str


class ClusterStatus(msgspec.Struct, frozen=True):
    status: str
    """`enabled` or `disabled`."""
    peer_id: int | None = None


class Named(msgspec.Struct, frozen=True):
    name: str


class Collections(msgspec.Struct, frozen=True):
    collections: list[Named]


class CollectionInfo(msgspec.Struct, frozen=True):
    status: str
    config: dict[str, Any]
    payload_schema: dict[str, Any] = {}
    segments_count: int = 0


class LocalShard(msgspec.Struct, frozen=True):
    shard_id: int
    state: str


class RemoteShard(msgspec.Struct, frozen=True):
    shard_id: int
    peer_id: int
    state: str


class CollectionCluster(msgspec.Struct, frozen=True):
    peer_id: int
    shard_count: int
    local_shards: list[LocalShard]
    remote_shards: list[RemoteShard]
    shard_transfers: list[Any] = []
    resharding_operations: list[Any] | None = None


class Alias(msgspec.Struct, frozen=True):
    alias_name: str
    collection_name: str


class Aliases(msgspec.Struct, frozen=True):
    aliases: list[Alias]


class Count(msgspec.Struct, frozen=True):
    count: int


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot on a node's disk or in its bucket."""

    name: str
    size: int
    checksum: str | None = None
    """SHA-256, hexadecimal; older servers and those that keep snapshots in S3 give none."""


class SnapshotActivity(msgspec.Struct, frozen=True):
    id: str
    running_snapshots: int | None = None
    running_snapshot_recovery: int | None = None


class CollectionsTelemetry(msgspec.Struct, frozen=True):
    snapshots: list[SnapshotActivity] | None = None


class Telemetry(msgspec.Struct, frozen=True):
    collections: CollectionsTelemetry | None = None
