"""Errors as HTTP answers: `application/problem+json` with the codes that Strongroom has everywhere.  Source: RFC 9457."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from contracts.errors import Conflict, Corrupt, Denied, InvalidInput, NotFound, RunFailed, StrongroomError, Unavailable

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
_STATUS_OF_CODE: Final = {"access.unauthenticated": 401, "access.limited": 429, "backup.in_use": 409}
_STATUS_OF_BRANCH: Final[tuple[tuple[type[StrongroomError], int], ...]] = (
    (InvalidInput, 400),
    (NotFound, 404),
    (Conflict, 409),
    (Denied, 403),
    (Unavailable, 503),
    (RunFailed, 409),
    (Corrupt, 500),
)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error.  `code` is stable; `field` is the one to correct."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    field: str | None = None


def status_of(exc: StrongroomError) -> int:
    if exc.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[exc.code]
    return next((status for branch, status in _STATUS_OF_BRANCH if isinstance(exc, branch)), 500)


def exception_handlers() -> dict[Any, Callable[[Request[Any, Any, Any], Any], Response[Any]]]:
    return {StrongroomError: _foreseen, HTTPException: _http, Exception: _unforeseen}


def _foreseen(_: Request[Any, Any, Any], exc: StrongroomError) -> Response[Problem]:
    return _answer(
        Problem(
            title=_TITLES.get(status_of(exc), "Error"),
            status=status_of(exc),
            detail=exc.message,
            code=exc.code,
            field=exc.field,
        )
    )


def _http(_: Request[Any, Any, Any], exc: HTTPException) -> Response[Problem]:
    code = {404: "input.invalid", 405: "input.invalid"}.get(
        exc.status_code, "input.invalid" if exc.status_code < 500 else "internal"
    )
    return _answer(
        Problem(title=_TITLES.get(exc.status_code, "Error"), status=exc.status_code, detail=exc.detail, code=code)
    )


def _unforeseen(request: Request[Any, Any, Any], exc: Exception) -> Response[Problem]:
    log.error("http.failed", path=request.url.path, method=request.method, exc_info=exc)
    words = "the coordinator met an unknown error; see its log"
    return _answer(Problem(title=_TITLES[500], status=500, detail=words, code="internal"))


def _answer(problem: Problem) -> Response[Problem]:
    headers = {"WWW-Authenticate": "Bearer"} if problem.status == 401 else {}
    headers |= {"Retry-After": "60"} if problem.status == 429 else {}
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


_TITLES: Final = {
    400: "Bad request",
    401: "Not let in",
    403: "Not allowed",
    404: "Not found",
    405: "No such method",
    409: "Conflict",
    429: "Too many failed attempts",
    500: "Internal error",
    503: "Unavailable",
}
