"""What an artifact's record says of its stream: enough to judge a restore before anything is fetched.

Readable by whoever reads the bucket, so names of subjects and consumers are not among it.
"""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.errors import Corrupt
from contracts.records import ArtifactRecord, Attributes

FORMAT: Final = "nats-stream-backup"
SUFFIX: Final = "natsstream.zst.age"


class StreamAttributes(msgspec.Struct, frozen=True, kw_only=True):
    server_version: str = ""
    """Of the server that the backup was made through, such as `2.15.1`."""
    archive: str = ""
    """`natsarc1` or `tar`; servers before 2.15 cannot read the former."""
    storage: str = "file"
    replicas: int = 1
    messages: int = 0
    """When the backup was planned."""
    durable_consumers: int = 0
    push_consumers: int = 0
    """Consumers that are sent their messages without asking: a copy of the stream would send them to the same receivers."""
    is_fed: bool = False
    """Whether it takes its messages from other streams, as a mirror does."""


def attributes_of(facts: StreamAttributes) -> Attributes:
    return msgspec.convert(msgspec.to_builtins(facts), Attributes)


def parse_attributes(artifact: ArtifactRecord) -> StreamAttributes:
    """Raises: Corrupt `artifact.corrupt`."""
    try:
        return msgspec.convert(artifact.attributes, StreamAttributes)
    except msgspec.ValidationError as exc:
        what = f"the record of stream {artifact.name!r} cannot be understood: {exc}"
        raise Corrupt("artifact.corrupt", what) from exc
