"""`GET /metrics` for Prometheus, and the counting of all requests."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from litestar import Response, get
from litestar.enums import ScopeType
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from contracts.access import Role
from contracts.errors import Denied
from contracts.tracing import TRACEPARENT, continued
from daemon.http.authentication import AnyRequest, caller_of
from daemon.http.backend import Backend
from daemon.metrics.exposition import scrape
from daemon.metrics.metrics import Metrics

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TRACEPARENT: Final = TRACEPARENT.encode()
_UNMATCHED: Final = "unmatched"
"""The route of a request that none took: what people make up becomes no label."""


def metrics(backend: Backend) -> Sequence[HTTPRouteHandler]:
    """`/metrics`, for a viewer's token that is good for all projects, or for everybody where the settings say so."""

    @get("/metrics", include_in_schema=False)
    async def read_metrics(request: AnyRequest) -> Response[bytes]:
        if not backend.settings.metrics_open:
            caller = await caller_of(backend, request)
            if caller.project or not caller.role.covers(Role.VIEWER):
                raise Denied(
                    "access.forbidden",
                    f"metrics concern all projects, and {caller.actor} is let in for {caller.project} only: make a token "
                    "without a project",
                )
        seen = await scrape(
            backend.metrics,
            backend.fleet_watch,
            accept=request.headers.get("accept", ""),
            accept_encoding=request.headers.get("accept-encoding", ""),
        )
        headers = {"Vary": "Accept, Accept-Encoding"} | ({"Content-Encoding": "gzip"} if seen.is_gzip else {})
        return Response(seen.body, headers=headers, media_type=seen.content_type)

    return [read_metrics]


def counted(app: ASGIApp, metrics_: Metrics) -> ASGIApp:
    """The application, with every request counted: the template of its route, its status, how soon its answer began."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await app(scope, receive, send)
            return
        asked = scope["method"]
        began_s = time.monotonic()

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = asked if asked in _METHODS else "other"
                route = str(scope.get("path_template") or _UNMATCHED)
                metrics_.note_answer(method, route, message["status"], time.monotonic() - began_s)
            await send(message)

        traceparent = next((value.decode("latin-1") for name, value in scope["headers"] if name == _TRACEPARENT), "")
        with continued({TRACEPARENT: traceparent} if traceparent else None):
            await app(scope, receive, sent)

    return call
