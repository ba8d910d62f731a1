"""Around every page: finds out who asks, refuses forged forms, and puts cookies and headers on the answer."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final

from litestar import Request
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from contracts.errors import StrongroomError
from contracts.subjects import EVENTS_STREAM
from daemon.http.backend import Backend
from daemon.stream_pages import last_sequence
from daemon.web.error_pages import error_response
from daemon.web.headers import page_headers, store_origin
from daemon.web.links import LOGIN
from daemon.web.sealing import Seal
from daemon.web.sessions import (
    CSRF_FIELD,
    CSRF_HEADER,
    caller_of,
    check_csrf,
    check_origin,
    cookie,
    end_cookie,
    is_secure,
    read_session,
    renewed,
    session_cookie,
)
from daemon.web.visits import AnyRequest, Flash, Visit, is_fragment

_FLASH_S: Final = 60


def visiting(backend: Backend) -> Callable[[ASGIApp], ASGIApp]:
    """The middleware of all pages."""
    origins: list[str] = []
    flashes: Seal[list[Flash]] = Seal(backend.session_key, "flash", list[Flash])

    def wrap(app: ASGIApp) -> ASGIApp:
        async def handle(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            if not origins:
                # Without credentials nothing can be signed: then no page can load from the store either.
                with contextlib.suppress(StrongroomError):
                    origins.append(await store_origin(backend))
            request: AnyRequest = Request(scope, receive, send)
            visit = Visit(backend=backend, secure=is_secure(backend, request))
            _state(scope)["visit"] = visit
            answer = _Answer(visit, flashes, origins[0] if origins else "", send)
            try:
                await _let_in(visit, request, flashes)
            except StrongroomError as exc:
                await error_response(request, exc).to_asgi_response(None, request)(scope, receive, answer.send)
                return
            await app(scope, receive, answer.send)

        return handle

    return wrap


async def _let_in(visit: Visit, request: AnyRequest, flashes: Seal[list[Flash]]) -> None:
    """Raises: Denied for a form of another site, or of another session."""
    backend = visit.backend
    visit.flashes = flashes.open(request.cookies.get(_flash_name(visit), "")) or []
    session = read_session(backend, request)
    if session is not None:
        visit.caller = await caller_of(backend, session)
        if visit.caller is None:
            visit.cookies.append(end_cookie(secure=visit.secure))
        else:
            visit.session = session
    check_origin(backend, request)
    if visit.session is None:
        return
    # Who logs in may have a session from another tab, which the login page does not know of.
    if request.method not in ("GET", "HEAD", "OPTIONS") and request.url.path != LOGIN:
        shown = request.headers.get(CSRF_HEADER.lower()) or (await request.form()).get(CSRF_FIELD, "")
        check_csrf(visit.session, shown if isinstance(shown, str) else "")
    # What a page loads by itself does not keep the session alive: an open tab is nobody at work.
    if not is_fragment(request) and "text/html" in request.headers.get("accept", ""):
        visit.seen = await last_sequence(backend.client, EVENTS_STREAM)
        later = renewed(visit.session, backend.now())
        if later is not None:
            visit.session = later
            visit.cookies.append(session_cookie(backend, later, secure=visit.secure))


class _Answer:
    """Adds to the head of an answer what the visit has gathered by then."""

    def __init__(self, visit: Visit, flashes: Seal[list[Flash]], origin: str, send: Send) -> None:
        self._visit = visit
        self._flashes = flashes
        self._origin = origin
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message["headers"])
            present = {name.lower() for name, _ in headers}
            for name, value in page_headers(self._origin).items():
                if name.lower().encode() not in present:
                    headers.append((name.lower().encode(), value.encode()))
            headers += [(b"set-cookie", value.encode()) for value in self._cookies()]
            message["headers"] = headers
        await self._send(message)

    def _cookies(self) -> list[str]:
        visit = self._visit
        # What shows no messages and has none to add leaves them to the page that the browser is loading meanwhile.
        if not visit.shown and not visit.upcoming:
            return visit.cookies
        left = [*visit.flashes, *visit.upcoming]
        sealed = self._flashes.close(left) if left else ""
        flash = cookie(_flash_name(visit), sealed, secure=visit.secure, max_age_s=_FLASH_S if left else 0)
        return [*visit.cookies, flash]


def _flash_name(visit: Visit) -> str:
    return "__Host-strongroom-flash" if visit.secure else "strongroom-flash"


def _state(scope: Scope) -> dict[str, Any]:
    return scope.setdefault("state", {})
