"""`/schema`: what the API is, for people and for programs.  It says nothing of what is in it, so it needs no token."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from contracts.wire import encode
from daemon.http.authentication import AnyRequest
from daemon.http.content import OPERATIONS as OF_CONTENT
from daemon.http.openapi import openapi_document
from daemon.http.schema_page import schema_page, style_sheet
from daemon.http.schemas import Schema
from daemon.http.streams import OPERATIONS as OF_STREAMS

_CSP: Final = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_HEADERS: Final = {"Cache-Control": "no-cache", "Content-Security-Policy": _CSP}


@cache
def whole_document() -> Schema:
    """With the routes that are no verbs."""
    return openapi_document((*OF_STREAMS, *OF_CONTENT))


def schema_routes() -> Sequence[HTTPRouteHandler]:
    @get("/schema", include_in_schema=False)
    async def page(request: AnyRequest) -> Response[bytes]:
        return await _answer(request, _page, "text/html")

    @get("/schema/style.css", include_in_schema=False)
    async def style(request: AnyRequest) -> Response[bytes]:
        return await _answer(request, _style, "text/css")

    @get("/schema/openapi.json", include_in_schema=False)
    async def document(request: AnyRequest) -> Response[bytes]:
        return await _answer(request, _json, "application/json")

    return [page, style, document]


async def _answer(request: AnyRequest, make: Callable[[], bytes], media_type: str) -> Response[bytes]:
    # Made once, which takes some tenths of a second of reading our own source.
    data = await asyncio.to_thread(make)
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(b"", status_code=304, headers={**_HEADERS, "ETag": tag})
    return Response(data, media_type=media_type, headers={**_HEADERS, "ETag": tag})


@cache
def _json() -> bytes:
    return encode(whole_document())


@cache
def _page() -> bytes:
    return schema_page(whole_document()).encode()


@cache
def _style() -> bytes:
    return style_sheet().encode()
