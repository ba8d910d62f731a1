"""The envelope around every answer, and errors in it."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import pydantic
from aiohttp import web

M = TypeVar("M", bound=pydantic.BaseModel)


class Failure(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, error: str, *, plain: bool = False) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.plain = plain

    def response(self) -> web.Response:
        if self.plain:
            return web.Response(status=self.status, text=self.error)
        return web.json_response({"status": {"error": self.error}, "time": 0.0}, status=self.status)


def no_collection(name: str) -> Failure:
    return Failure(404, f"Not found: Collection `{name}` doesn't exist!")


def ok(result: Any, model: Any = None) -> web.Response:
    """The result, checked against the type that the official client expects."""
    if model is not None:
        pydantic.TypeAdapter(model).validate_python(result)
    return web.json_response({"result": result, "status": "ok", "time": 0.0})


def accepted() -> web.Response:
    return web.json_response({"status": "accepted", "time": 0.0}, status=202)


async def body_of(request: web.Request, model: type[M]) -> dict[str, Any]:
    """The request's JSON.  Raises: Failure 400 when it is not of the model; fields that it does not have are forbidden."""
    try:
        raw = json.loads(await request.read())
        model.model_validate(raw)
    except (ValueError, pydantic.ValidationError) as exc:
        raise Failure(400, f"Format error in JSON body: {exc}") from exc
    assert isinstance(raw, dict)
    return raw


def query_of(request: web.Request, *allowed: str) -> dict[str, str]:
    """The query's parameters.  The server ignores what it does not know; here it is an error."""
    unknown = set(request.query) - set(allowed)
    if unknown:
        raise Failure(400, f"Wrong input: unknown query parameters {sorted(unknown)}")
    return dict(request.query)
