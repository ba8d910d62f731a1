"""Verbs of what happened."""

from __future__ import annotations

from typing import Annotated

import msgspec

from contracts.access import Role
from contracts.control.verb import Verb
from contracts.events import Event


class EventList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""
    service: str = ""
    types: list[str] = []
    """Such as `backup.failed`, or `backup` for all that begin so; all without any."""
    cursor: str = ""
    """`next_cursor` of the page before."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=1_000)] = 100


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    """Its place in the event stream."""
    event: Event


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    events: list[StoredEvent]
    next_cursor: str = ""
    """Of the page that follows; empty on the last."""


EVENT_LIST = Verb(
    "event.list",
    EventList,
    Events,
    "What happened, page by page, the newest first",
    role=Role.VIEWER,
    route="GET /events/history",
)
