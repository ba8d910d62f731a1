"""Sessions of browsers: somebody shows a token once, and gets a cookie that stands for it.

The cookie is sealed, and says which token was shown, never the token.  Every request looks that token up again, so whoever
revokes it ends its sessions at once.  A session ends 12 hours after the last page was opened in it, after 7 days, and when
somebody logs out: its cookie is good for nothing then, whoever has it.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

import msgspec

from contracts.access import EndedSession
from contracts.errors import Denied
from daemon.access.caller import Caller, Via
from daemon.http.backend import Backend
from daemon.web.sealing import Seal
from daemon.web.visits import AnyRequest, LoginNeeded, Session, visit_of

IDLE_S: Final = 12 * 3600
MOST_S: Final = 7 * 86_400
RENEW_AFTER_S: Final = 600
"""A cookie younger than this is not made anew with every page."""
CSRF_HEADER: Final = "X-Strongroom-CSRF"
CSRF_FIELD: Final = "csrf"

_SKEW_S: Final = 300
"""How far the clocks of two coordinators may be apart."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def need_session(request: AnyRequest) -> Caller:
    """Who is logged in.  Raises: LoginNeeded, which becomes the way to the login page, or 401 for a fragment."""
    caller = visit_of(request).caller
    if caller is None:
        raise LoginNeeded
    return caller


async def caller_of_session(backend: Backend, request: AnyRequest) -> Caller | None:
    """Whose session the request's cookie is, for routes that are no pages; None without one that still counts.

    A request that may change something has to show the session's CSRF token in a header.
    Raises: Denied `access.forbidden` when it does not.
    """
    session = read_session(backend, request)
    if session is None:
        return None
    caller = await caller_of(backend, session)
    if caller is not None and request.method not in _SAFE:
        check_origin(backend, request)
        check_csrf(session, request.headers.get(CSRF_HEADER.lower(), ""))
    return caller


def new_session(token_id: str, now: datetime) -> Session:
    at = int(now.timestamp())
    return Session(id=secrets.token_hex(12), token_id=token_id, started_at=at, renewed_at=at, csrf=secrets.token_urlsafe(24))


def read_session(backend: Backend, request: AnyRequest) -> Session | None:
    """The session that the cookie holds, if it is of this coordinator and not too old."""
    sealed = request.cookies.get(cookie_name(is_secure(backend, request)), "")
    session = session_seal(backend).open(sealed) if sealed else None
    if session is None:
        return None
    now = int(backend.now().timestamp())
    lives = (
        session.started_at <= session.renewed_at <= now + _SKEW_S
        and now < session.renewed_at + IDLE_S
        and now < session.started_at + MOST_S
    )
    return session if lives else None


def renewed(session: Session, now: datetime) -> Session | None:
    """The session with its end moved on; None while that can wait."""
    at = int(now.timestamp())
    return msgspec.structs.replace(session, renewed_at=at) if at - session.renewed_at >= RENEW_AFTER_S else None


async def caller_of(backend: Backend, session: Session) -> Caller | None:
    """Who that is now; None when somebody logged out of it, or the token has ended since."""
    if await backend.catalog.ended_sessions.get(session.id) is not None:
        return None
    try:
        return await backend.tokens.caller_of(session.token_id, Via.WEB)
    except Denied:
        return None


async def end_session(backend: Backend, session: Session) -> None:
    """Ends it for whoever has its cookie.  Safe to repeat."""
    ended = EndedSession(ended_at=backend.now())
    await backend.catalog.ended_sessions.put(session.id, ended, ttl_s=IDLE_S + _SKEW_S)


def check_csrf(session: Session, shown: str) -> None:
    """Raises: Denied for a form that was not made by a page of this session."""
    if not secrets.compare_digest(session.csrf.encode(), shown.encode()):
        raise Denied(
            "access.forbidden",
            "this form was not made in your present session: open the page again, and repeat what you did",
            field=CSRF_FIELD,
        )


def check_origin(backend: Backend, request: AnyRequest) -> None:
    """Holds what the browser says of the page that sent a form against our own address.

    Raises: Denied for a page of somebody else.
    """
    if request.method in _SAFE:
        return
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "")
    ours = {request.headers.get("host", "").lower(), urlsplit(backend.settings.public_url).netloc.lower()} - {""}
    if site in ("same-origin", "none") or (not site and (not origin or urlsplit(origin).netloc.lower() in ours)):
        return
    raise Denied("access.forbidden", "this form was sent by a page of another site, so nothing was changed", field="origin")


def is_secure(backend: Backend, request: AnyRequest) -> bool:
    """Whether the browser came over https, by what the server or a trusted proxy says, or by the public address."""
    if request.url.scheme == "https":
        return True
    public = urlsplit(backend.settings.public_url)
    return public.scheme == "https" and public.netloc.lower() == request.headers.get("host", "").lower()


def cookie_name(secure: bool) -> str:
    """Over https one that no other host of the domain can set."""
    return "__Host-strongroom" if secure else "strongroom"


def session_cookie(backend: Backend, session: Session, *, secure: bool) -> str:
    """The value of `Set-Cookie`."""
    return cookie(cookie_name(secure), session_seal(backend).close(session), secure=secure, max_age_s=IDLE_S)


def end_cookie(*, secure: bool) -> str:
    """The value of `Set-Cookie` that takes the session out of the browser."""
    return cookie(cookie_name(secure), "", secure=secure, max_age_s=0)


def cookie(name: str, value: str, *, secure: bool, max_age_s: int) -> str:
    """For this host only, out of reach of scripts, and never sent along with forms of other sites."""
    return f"{name}={value}; Path=/; Max-Age={max_age_s}; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}"


def session_seal(backend: Backend) -> Seal[Session]:
    return Seal(backend.session_key, "session", Session)
