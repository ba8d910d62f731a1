"""The manifest: the object beside a backup's artifacts that makes the bucket enough without any catalogue."""

from __future__ import annotations

from datetime import datetime

import msgspec

from contracts.ids import RunId, Slug
from contracts.records import ArtifactRecord, Attributes, Trigger
from contracts.services import ServiceOptions
from contracts.wire import Decoder

FORMAT = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Written once, after all artifacts and before the record.  Open to whoever can read the bucket, so it names
    projects, services and artifacts and gives sizes and times, but what is inside them is sealed in `inventory`."""

    format: int
    id: RunId
    project: Slug
    service: Slug
    options: ServiceOptions
    node: Slug
    trigger: Trigger
    attempt: int
    requested_at: datetime
    due_at: datetime | None = None
    started_at: datetime
    finished_at: datetime
    tags: list[str]
    recipients: list[str]
    key_id: str
    artifacts: list[ArtifactRecord]
    tools: dict[str, str]
    summary: Attributes
    warnings: list[str]
    inventory: bytes
    """`age(zstd(JSON))`, base64 in the file: `jq -r .inventory | base64 -d | age -d -i key.txt | zstd -d`."""


manifest_decoder: Decoder[Manifest] = Decoder(Manifest)
