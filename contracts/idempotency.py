"""Creations that were asked for under a key of the caller's own, so that repeating the request does nothing twice."""

from __future__ import annotations

from datetime import datetime

import msgspec


class KeyedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The first request under a key, and what came of it.  Only the caller who sent it finds it again."""

    request_mac: bytes
    """Of the verb and the request, under a key of the coordinator's: tells another request, and nothing of this one."""
    began_at: datetime
    answered_at: datetime | None = None
    """None while it is carried out, and for ever where the coordinator was stopped in the midst of it."""
    status: int = 0
    location: str = ""
    body: bytes = b""
    """The answer; empty for one that is shown once and kept nowhere, as the next field says."""
    shown_once: str = ""
    """What was made, for the person who lost such an answer."""
