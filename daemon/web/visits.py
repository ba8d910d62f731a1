"""What belongs to one request for a page: who asks, what to tell them, which cookies the answer sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
from litestar import Request

from daemon.access.caller import Caller
from daemon.http.backend import Backend

AnyRequest: TypeAlias = Request[Any, Any, Any]


class Tone(StrEnum):
    """What a message means for whoever reads it."""

    GOOD = "good"
    BAD = "problem"
    NEUTRAL = "neutral"


class Flash(msgspec.Struct, frozen=True, array_like=True):
    """A message that the next page shows once."""

    text: str
    tone: Tone = Tone.GOOD


class Session(msgspec.Struct, frozen=True, array_like=True):
    """Somebody who showed a token.  Times are seconds since 1970, UTC."""

    id: str
    token_id: str
    started_at: int
    renewed_at: int
    csrf: str
    """What every form and every changing request of this session has to repeat."""


@dataclass(kw_only=True)
class Visit:
    """One request."""

    backend: Backend
    session: Session | None = None
    caller: Caller | None = None
    seen: int = 0
    """The newest event when the page began to be made: what comes later the page may not have."""
    secure: bool = False
    """Whether the browser came over https."""
    flashes: list[Flash] = field(default_factory=list)
    """From the page before, until one shows them."""
    shown: bool = False
    """Whether this one did."""
    upcoming: list[Flash] = field(default_factory=list)
    """For the next page."""
    cookies: list[str] = field(default_factory=list)
    """Values of `Set-Cookie`."""


class LoginNeeded(Exception):
    """Nobody is logged in, or not any more."""


def visit_of(request: AnyRequest) -> Visit:
    """Of any request for a page."""
    visit = request.scope.get("state", {}).get("visit")
    assert isinstance(visit, Visit), "the route is not mounted by daemon.web.site"
    return visit


def flash(request: AnyRequest, text: str, tone: Tone = Tone.GOOD) -> None:
    """Has the page that the browser loads next show a message."""
    visit_of(request).upcoming.append(Flash(text, tone))


def is_fragment(request: AnyRequest) -> bool:
    """Whether htmx asks, for a part of the page that is open."""
    return request.headers.get("hx-request") == "true"


def part(request: AnyRequest, name: str) -> str:
    """A part of the path, by its name in the route."""
    return str(request.path_params[name])
