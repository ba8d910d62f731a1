"""The verb about the coordinator itself."""

from __future__ import annotations

import msgspec

from contracts.access import Role
from contracts.control.verb import Nothing, Verb
from contracts.records import Attributes


class Status(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    server: Attributes
    grace_days: float = 7
    """How long a deleted project or service can be had back."""


STATUS = Verb(
    "status",
    Nothing,
    Status,
    "Which coordinator answers, and what it stands on",
    role=Role.VIEWER,
    route="GET /status",
)
