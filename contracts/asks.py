"""What an agent asks the coordinator while it works, by request and reply on `strongroom.agent.<node>.ask`.

A `Question` names the service, an ask the run and the attempt; the answer to any other than the current attempt on the
asking node is the error `run.not_current`, upon which the agent drops its work.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from contracts.errors import ErrorInfo
from contracts.ids import RunId, Slug
from contracts.multipart import MAX_PARTS
from contracts.records import ArtifactRecord, Attributes, Bytes, RestoreTarget, RunKind
from contracts.services import ServiceOptions
from contracts.wire import Decoder

PartNumber = Annotated[int, msgspec.Meta(ge=1, le=MAX_PARTS)]


class ClaimRun(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="claim"):
    """I have this request in hand: may I work on it, and as which attempt?"""

    run_id: RunId
    instance: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    """Drawn anew whenever the agent starts.  The instance that holds the run is answered the same again; another one means
    that the former process is gone, and gets the next attempt."""


class CheckRun(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="check"):
    """Is this attempt still the current one?  Asked every few seconds, so that a cancelled run stops."""

    run_id: RunId
    attempt: int


class OpenArtifact(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="open"):
    """I am about to upload this artifact; opening the same index again in one attempt answers the same upload."""

    run_id: RunId
    attempt: int
    index: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    kind: str
    format: str
    suffix: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9.]{1,40}\Z")]
    """Of the object's name, such as `pgdump.zst.age`."""
    estimate_bytes: Bytes
    attributes: Attributes = {}


class MoreParts(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="parts"):
    """Sign `count` parts from `first` on; also used when a signature expired."""

    run_id: RunId
    attempt: int
    index: int
    first: PartNumber
    count: Annotated[int, msgspec.Meta(ge=1, le=64)]


class PartReceipt(msgspec.Struct, frozen=True, array_like=True):
    """What the store said of one part; an array on the wire, since there may be 10,000."""

    number: PartNumber
    size_bytes: Bytes
    etag: Annotated[str, msgspec.Meta(max_length=128)]


class CloseArtifact(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="close"):
    """All parts are stored and the dump tool ended well: make it an object.  Repeating it answers the same."""

    run_id: RunId
    attempt: int
    index: int
    parts: list[PartReceipt]
    stored_bytes: Bytes
    plain_bytes: Bytes
    sha256: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class AbortArtifact(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="abort"):
    """Forget this upload and everything stored for it."""

    run_id: RunId
    attempt: int
    index: int


class OpenDownload(msgspec.Struct, frozen=True, kw_only=True, tag_field="ask", tag="download"):
    """Let me read this artifact of the backup that I restore; also used when a signature expired."""

    run_id: RunId
    attempt: int
    artifact: str
    object_key: str


Ask = ClaimRun | CheckRun | OpenArtifact | MoreParts | CloseArtifact | AbortArtifact | OpenDownload


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """An ask, and which run's record it is about."""

    run: RunKind
    project: Slug
    service: Slug
    ask: Ask


question_decoder: Decoder[Question] = Decoder(Question)


class BackupJob(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="backup"):
    """Yes: this is the backup to make."""

    run_id: RunId
    attempt: int
    project: Slug
    service: Slug
    options: ServiceOptions
    recipients: list[str]


class RestoreJob(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="restore"):
    """Yes: this is the restore to make."""

    run_id: RunId
    attempt: int
    backup_id: RunId
    options: ServiceOptions
    target: RestoreTarget
    artifacts: list[ArtifactRecord]


class Current(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="current"):
    """Yes: go on."""


class SignedPart(msgspec.Struct, frozen=True, array_like=True):
    """One part that may be PUT to `url`."""

    number: PartNumber
    url: str


class Grant(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="grant"):
    """Signed URLs for some parts; the size of each follows from `base_part_bytes` by `contracts.multipart.part_size`."""

    base_part_bytes: int
    parts: list[SignedPart]
    expires_at: datetime
    limit_bytes: int | None = None
    """Where the project's quota ends: the artifact may have no more stored bytes than this; None while there is room for
    all parts of this grant."""


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="closed"):
    """The artifact is an object now."""

    artifact: ArtifactRecord


class Aborted(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="aborted"):
    """Nothing of the upload is left."""


class DownloadGrant(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="download"):
    """A signed URL to GET the object, and its file key in an age header that this node's identity opens.

    `header` followed by the object's bytes from `payload_offset` on is a standard age file for the node.
    """

    url: str
    expires_at: datetime
    header: bytes
    payload_offset: Bytes
    stored_bytes: Bytes


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="answer", tag="error"):
    """No, and why."""

    error: ErrorInfo


Answer = BackupJob | RestoreJob | Current | Grant | Closed | Aborted | DownloadGrant | Refused
answer_decoder: Decoder[Answer] = Decoder(Answer)
