"""Logging in with a token, and out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import structlog
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from contracts.errors import Denied, StrongroomError
from daemon.access.caller import Via
from daemon.http.authentication import address_of, caller_of_token
from daemon.http.backend import Backend
from daemon.http.problems import status_of
from daemon.web import links
from daemon.web.forms import Form
from daemon.web.rendering import redirect, render
from daemon.web.sessions import end_cookie, end_session, new_session, session_cookie
from daemon.web.visits import AnyRequest, visit_of

log = structlog.get_logger()


def login_pages(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/login")
    async def login(request: AnyRequest) -> Response[Any]:
        to = safe_way(request.query_params.get("next", ""))
        if visit_of(request).caller is not None:
            return redirect(request, to)
        return render(request, "login.html", form=Form(), next=to)

    @post("/login")
    async def log_in(request: AnyRequest) -> Response[Any]:
        form = await Form.of(request)
        to = safe_way(form.value("next"))
        visit = visit_of(request)
        try:
            caller = await caller_of_token(backend, request, form.value("token"), Via.WEB)
        except StrongroomError as exc:
            form.field_errors["token"] = exc.message
            return render(
                request, "login.html", status=422 if isinstance(exc, Denied) else status_of(exc), form=form, next=to
            )
        session = new_session(caller.token_id, backend.now())
        visit.session, visit.caller = session, caller
        visit.cookies.append(session_cookie(backend, session, secure=visit.secure))
        log.info("login.accepted", address=address_of(request), actor=caller.actor, token_id=caller.token_id)
        return redirect(request, to)

    @post("/logout")
    async def log_out(request: AnyRequest) -> Response[Any]:
        visit = visit_of(request)
        if visit.session is not None:
            await end_session(backend, visit.session)
        visit.cookies.append(end_cookie(secure=visit.secure))
        return redirect(request, links.LOGIN, says="You are logged out.")

    return [login, log_in, log_out]


def safe_way(to: str) -> str:
    """A path of ours, or the overview: whatever stands in the address of the login page, it leads nowhere else."""
    if not to.startswith("/") or to.startswith("//") or "\\" in to or not to.isprintable():
        return links.OVERVIEW
    parts = urlsplit(to)
    elsewhere = parts.scheme or parts.netloc or parts.path in ("/login", "/logout")
    return links.OVERVIEW if elsewhere else to
