"""Who calls a verb."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import msgspec

from contracts.access import Role


class Via(StrEnum):
    NATS = "nats"
    HTTP = "http"
    WEB = "web"


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who was let in, and what for."""

    actor: str
    """For the audit log and records, such as `token:ci of acme` or `jane@laptop`."""
    role: Role
    via: Via
    project: str = ""
    """The only project it may touch; empty for all of them."""
    token_id: str = ""
    expires_at: datetime | None = None


def nats_operator(actor: str) -> Caller:
    """Whoever may publish on the control subjects: the NATS server holds the list of those.  What it calls itself is taken
    for its name."""
    return Caller(actor=actor or "operator", role=Role.ADMIN, via=Via.NATS)
