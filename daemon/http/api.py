"""Every verb under `/api/v1`: who asks, what for, once, and with what answer.

The bus and these routes call the same function, `Control.invoke`, which decides whether the caller may and writes it down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler

from contracts.control import VERBS, Verb
from contracts.errors import InvalidInput
from contracts.wire import encode
from daemon.http.answering import is_creation, location_of, next_link, status_of_success
from daemon.http.authentication import AnyRequest, caller_of
from daemon.http.backend import Backend
from daemon.http.idempotency import HEADER, REPLAYED_HEADER, Answered, Repeats, check_key
from daemon.http.operations import API_PREFIX
from daemon.http.problems import UnsupportedMediaType, methods_of
from daemon.http.reading import Shape, query_pairs

JSON: Final = "application/json"


def api(backend: Backend) -> Sequence[HTTPRouteHandler]:
    """A route for each verb, and what is to be had at its path."""
    repeats = Repeats(backend)
    # Of each path, the first verb's route also says what else there is: Litestar by itself names that verb's method alone.
    first = {verb.path: verb for verb in reversed(VERBS.values())}
    return [_route(backend, repeats, verb, with_options=first[verb.path] is verb) for verb in VERBS.values()]


def _route(backend: Backend, repeats: Repeats, verb: Verb[Any, Any], *, with_options: bool) -> HTTPRouteHandler:
    shape = Shape.of(verb)
    status = status_of_success(verb)
    keyed = is_creation(verb)

    async def handle(request: AnyRequest) -> Response[bytes]:
        if request.method == HttpMethod.OPTIONS:
            return Response(b"", status_code=204, headers={"Allow": ", ".join(methods_of(request))})
        caller = await caller_of(backend, request)
        asked = await read_request(shape, request)
        more = ""

        async def carry_out() -> Answered:
            nonlocal more
            answer = await backend.control.invoke(verb, asked, caller)
            more = getattr(answer, "next_cursor", "")
            return Answered(status, b"" if status == 204 else encode(answer), location_of(verb, answer))

        if keyed and (key := request.headers.get(HEADER)) is not None:
            answered = await repeats.once(verb, asked, caller, check_key(key), carry_out)
        else:
            answered = await carry_out()
        return _response(request, answered, more)

    methods = [HttpMethod.GET, HttpMethod.HEAD] if verb.method == "GET" else [HttpMethod(verb.method)]
    if with_options:
        methods.append(HttpMethod.OPTIONS)
    # The status that counts is the response's; without one here, Litestar holds a DELETE to 204.
    route = HTTPRouteHandler(litestar_path(verb.path), http_method=methods, status_code=200, include_in_schema=False)
    return route(handle)


async def read_request(shape: Shape[Any], request: AnyRequest) -> Any:
    """Raises: InvalidInput, UnsupportedMediaType, and what says that the body is too large."""
    path = {name: str(value) for name, value in request.path_params.items()}
    query: bytes = request.scope["query_string"]
    body = await request.body()
    if request.method in ("GET", "HEAD", "DELETE"):
        if body:
            raise InvalidInput("input.invalid", "there is no body here: send the fields in the query", field="body")
        return shape.from_query(path, query)
    if query:
        # Looked at only to say which name is out of place.
        shape.refuse_query(query)
    if body:
        _check_json(request.headers.get("content-type", ""))
    return shape.from_body(path, body)


def litestar_path(path: str) -> str:
    """A verb's path as Litestar writes it."""
    return API_PREFIX + path.replace("}", ":str}")


def _check_json(content_type: str) -> None:
    """Raises: UnsupportedMediaType for what is not JSON in UTF-8."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    if media_type != JSON:
        raise UnsupportedMediaType("the body must be JSON, with the header `Content-Type: application/json`")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in ("utf-8", "utf8"):
            raise UnsupportedMediaType("JSON is read in UTF-8 only: leave the charset out")


def _response(request: AnyRequest, answered: Answered, more: str) -> Response[bytes]:
    headers = {}
    if answered.location:
        headers["Location"] = answered.location
    if answered.replayed:
        headers[REPLAYED_HEADER] = "true"
    if more:
        headers["Link"] = next_link(request.url.path, query_pairs(request.scope["query_string"]), more)
    return Response(answered.body, status_code=answered.status, media_type=JSON, headers=headers)
