"""Errors as pages in our own design, as toasts for fragments, and as problems for everything that is no browser."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import structlog
from litestar import Response
from litestar.exceptions import HTTPException, NotFoundException
from litestar.types import ExceptionHandlersMap

from contracts.errors import Denied, StrongroomError
from daemon.http.problems import exception_handlers, status_of
from daemon.web.headers import page_headers
from daemon.web.rendering import redirect, render
from daemon.web.visits import AnyRequest, LoginNeeded, is_fragment

log = structlog.get_logger()

_TITLES: Final = {
    400: "That cannot be done",
    401: "Not logged in",
    403: "Not allowed",
    404: "Not found",
    405: "Not found",
    409: "Not possible at the moment",
    413: "Too large",
    429: "Too many attempts",
    500: "Something went wrong here",
    503: "Not available at the moment",
}
_NOWHERE: Final = "There is no such page. The address may be mistyped, or what it was about has gone."
_UNKNOWN: Final = "The coordinator met an error that it does not know. Its log has the details; nothing else was changed."
_problems: Final = exception_handlers()


def page_exception_handlers() -> ExceptionHandlersMap:
    """For all routes of pages."""
    return {
        LoginNeeded: _to_login,
        StrongroomError: error_response,
        HTTPException: _http_response,
        Exception: _unforeseen_response,
    }


def stray_exception_handlers() -> ExceptionHandlersMap:
    """For the whole application: who asks with a browser for a path that there is not gets a page."""
    return {NotFoundException: _stray}


def error_response(request: AnyRequest, exc: StrongroomError) -> Response[Any]:
    if not _wants_page(request):
        return _problems[StrongroomError](request, exc)
    return _page(request, status_of(exc), exc.message, code=exc.code, detail=exc.detail or "")


def _http_response(request: AnyRequest, exc: HTTPException) -> Response[Any]:
    if not _wants_page(request):
        return _problems[HTTPException](request, exc)
    return _page(request, exc.status_code, _NOWHERE if exc.status_code in (404, 405) else exc.detail)


def _unforeseen_response(request: AnyRequest, exc: Exception) -> Response[Any]:
    if not _wants_page(request):
        return _problems[Exception](request, exc)
    log.error("page.failed", path=request.url.path, method=request.method, exc_info=exc)
    return _page(request, 500, _UNKNOWN, code="internal")


def _stray(request: AnyRequest, exc: NotFoundException) -> Response[Any]:
    path = request.url.path
    if not _wants_page(request) or path.startswith("/api/"):
        return _problems[HTTPException](request, exc)
    return _page(request, 404, _NOWHERE)


def _to_login(request: AnyRequest, _: LoginNeeded) -> Response[Any]:
    """To the login page and back again; a fragment takes its whole page there, and a feed is told."""
    if "text/html" not in request.headers.get("accept", "text/html") and not is_fragment(request):
        return _problems[StrongroomError](request, Denied("access.unauthenticated", "nobody is logged in: log in again"))
    if not is_fragment(request):
        way_back = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if request.method != "GET" or way_back == "/":
            return redirect(request, "/login")
        return redirect(request, f"/login?{urlencode({'next': way_back})}")
    current = urlsplit(request.headers.get("hx-current-url", ""))
    way_back = current.path + (f"?{current.query}" if current.query else "")
    to = f"/login?{urlencode({'next': way_back})}" if way_back.startswith("/") else "/login"
    return Response("", status_code=401, headers={"HX-Redirect": to})


def _wants_page(request: AnyRequest) -> bool:
    """Fragments get a problem, which a script shows as a toast."""
    return "text/html" in request.headers.get("accept", "") and not is_fragment(request)


def _page(request: AnyRequest, status: int, message: str, *, code: str = "", detail: str = "") -> Response[str]:
    title = _TITLES.get(status, "Something went wrong")
    response = render(request, "error.html", status=status, title=title, message=message, code=code, detail=detail)
    response.headers.update(page_headers())
    return response
