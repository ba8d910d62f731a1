"""What the coordinator asks of an agent, over the work queue: short, since the facts are fetched when the work starts."""

from __future__ import annotations

from datetime import datetime

import msgspec

from contracts.ids import RunId, Slug
from contracts.wire import Decoder


class BackupRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="backup.requested"):
    """Back this service up now."""

    run_id: RunId
    project: Slug
    service: Slug
    attempt: int
    requested_at: datetime


class RestoreRequest(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="restore.requested"):
    """Restore a backup here now."""

    run_id: RunId
    project: Slug
    service: Slug
    attempt: int
    requested_at: datetime


Request = BackupRequest | RestoreRequest
request_decoder: Decoder[Request] = Decoder(Request)


def message_id(request: Request) -> str:
    """`Nats-Msg-Id`: a request that is published twice is stored once."""
    return f"{type(request).__struct_config__.tag}:{request.run_id}:{request.attempt}"
