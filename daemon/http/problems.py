"""Errors as HTTP answers: `application/problem+json` with the codes that Strongroom has everywhere.  Source: RFC 9457."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.routes import HTTPRoute

from contracts.errors import Conflict, Corrupt, Denied, InvalidInput, NotFound, RunFailed, StrongroomError, Unavailable

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
_STATUS_OF_CODE: Final = {
    "access.unauthenticated": 401,
    "access.limited": 429,
    "backup.in_use": 409,
    "request.key_reused": 422,
}
_STATUS_OF_BRANCH: Final[tuple[tuple[type[StrongroomError], int], ...]] = (
    (InvalidInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Denied, 403),
    (Unavailable, 503),
    (RunFailed, 409),
    (Corrupt, 500),
)
_RETRY_AFTER_S: Final = {"access.limited": 60, "request.in_progress": 1}
_RETRY_WHEN_AWAY_S: Final = 5


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error.  `code` is stable; `field` is the one to correct."""

    type: str = "about:blank"
    title: str
    """What the status means."""
    status: int
    detail: str
    """What happened and what to do, in a sentence."""
    code: str
    field: str | None = None
    said: str | None = None
    """The words of the engine, the tool or the store that failed."""


class UnsupportedMediaType(HTTPException):
    """A body that is something else than JSON."""

    status_code = 415


def status_of(exc: StrongroomError) -> int:
    if exc.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[exc.code]
    return next((status for branch, status in _STATUS_OF_BRANCH if isinstance(exc, branch)), 500)


def exception_handlers() -> dict[Any, Callable[[Request[Any, Any, Any], Any], Response[Any]]]:
    return {StrongroomError: _foreseen, HTTPException: _http, Exception: _unforeseen}


def _foreseen(_: Request[Any, Any, Any], exc: StrongroomError) -> Response[Problem]:
    status = status_of(exc)
    problem = Problem(
        title=TITLES.get(status, "Error"), status=status, detail=exc.message, code=exc.code, field=exc.field, said=exc.detail
    )
    retry_s = _RETRY_AFTER_S.get(exc.code, _RETRY_WHEN_AWAY_S if exc.retryable else None)
    return _answer(problem, {} if retry_s is None else {"Retry-After": str(retry_s)})


def _http(request: Request[Any, Any, Any], exc: HTTPException) -> Response[Problem]:
    status = exc.status_code
    path, methods = request.url.path, methods_of(request) if status == 405 else []
    headers = {"Allow": ", ".join(methods)} if methods else {}
    detail = {
        404: f"there is nothing at {path[:200]}: the paths of the API are at /schema",
        405: f"{request.method} is not possible here, but {', '.join(methods)}",
        413: "the body is larger than any request has to be",
    }.get(status, exc.detail)
    code = _CODES.get(status, "input.malformed" if status < 500 else "internal")
    return _answer(Problem(title=TITLES.get(status, "Error"), status=status, detail=detail, code=code), headers)


def _unforeseen(request: Request[Any, Any, Any], exc: Exception) -> Response[Problem]:
    log.error("http.failed", path=request.url.path, method=request.method, exc_info=exc)
    words = "the coordinator met an unknown error; see its log"
    return _answer(Problem(title=TITLES[500], status=500, detail=words, code="internal"), {})


def methods_of(request: Request[Any, Any, Any]) -> list[str]:
    """What the path can be asked for."""
    parts = request.url.path.strip("/").split("/")
    found: set[str] = set()
    for route in request.app.routes:
        ways = route.path_format.strip("/").split("/")
        same = len(ways) == len(parts) and all(map(_fits, ways, parts))
        if isinstance(route, HTTPRoute) and same:
            found |= set(route.methods)
    return sorted(found)


def _fits(way: str, part: str) -> bool:
    return way == part or way.startswith("{")


def _answer(problem: Problem, headers: dict[str, str]) -> Response[Problem]:
    if problem.status == 401:
        headers = {**headers, "WWW-Authenticate": "Bearer"}
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


_CODES: Final = {404: "input.invalid", 405: "input.invalid", 413: "input.invalid"}

TITLES: Final = {
    400: "Bad request",
    401: "Not let in",
    403: "Not allowed",
    404: "Not found",
    405: "No such method",
    409: "Conflict",
    413: "Too large",
    415: "Not JSON",
    416: "No such range",
    422: "Not the same request",
    429: "Too many failed attempts",
    500: "Internal error",
    503: "Unavailable",
}
