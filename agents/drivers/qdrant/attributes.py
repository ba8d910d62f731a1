"""What a backup notes beside each artifact, for its restore: nothing of it is secret."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from contracts.errors import Corrupt
from contracts.records import ArtifactRecord, Attributes

T = TypeVar("T")

COLLECTION_KIND: Final = "collection"
ALIASES_KIND: Final = "aliases"
COLLECTION_FORMAT: Final = "qdrant-snapshot"
ALIASES_FORMAT: Final = "qdrant-aliases"


class CollectionAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Of a snapshot."""

    collection: str
    points: int
    """In the collection as a whole, when the backup was planned."""
    server_version: str
    peer: str
    """The id of the node that the snapshot is of; a string, since it takes all of 64 bits."""
    part: int = 1
    parts: int = 1
    """How many snapshots the collection has in the backup."""
    shards: list[str] = []

    def as_attributes(self) -> Attributes:
        attributes: Attributes = msgspec.to_builtins(self)
        return attributes


class AliasesAttributes(msgspec.Struct, frozen=True, kw_only=True):
    """Of the aliases: what a restore wants to know before it begins."""

    aliases: list[str] = []
    collections: list[str] = []
    """Where each of them points."""

    def as_attributes(self) -> Attributes:
        attributes: Attributes = msgspec.to_builtins(self)
        return attributes


def collection_attributes(artifact: ArtifactRecord) -> CollectionAttributes:
    """Raises: Corrupt `manifest.corrupt`."""
    return _convert(artifact, CollectionAttributes)


def aliases_attributes(artifact: ArtifactRecord) -> AliasesAttributes:
    """Raises: Corrupt `manifest.corrupt`."""
    return _convert(artifact, AliasesAttributes)


def _convert(artifact: ArtifactRecord, to: type[T]) -> T:
    try:
        return msgspec.convert(artifact.attributes, to)
    except msgspec.ValidationError as exc:
        what = f"the manifest's attributes of {artifact.name!r} cannot be used: {exc}"
        raise Corrupt("manifest.corrupt", what) from exc
