"""A verb's request as an HTTP request: pure, the counterpart of `daemon.http.reading`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from contracts.control import Verb
from daemon.http.operations import API_PREFIX

_ACTOR: Final = "actor"
"""Who calls is what the token says."""


class HttpRequest(NamedTuple):
    method: str
    path: str
    """With the prefix, percent-encoded."""
    query: Sequence[tuple[str, str]]
    body: bytes | None
    """JSON."""


def request_of(verb: Verb[Any, Any], request: Any) -> HttpRequest:
    """Placeholders of the path are filled, and what else is not as it would be by itself goes into the query or the body."""
    fields: dict[str, Any] = msgspec.to_builtins(request)
    path = API_PREFIX
    for part in verb.path.strip("/").split("/"):
        path += "/" + (quote(str(fields.pop(part[1:-1])), safe="") if part.startswith("{") else part)
    fields.pop(_ACTOR, None)
    fields = _without_defaults(request, fields)
    if verb.method in ("GET", "DELETE"):
        return HttpRequest(verb.method, path, query_of(fields), None)
    return HttpRequest(verb.method, path, (), msgspec.json.encode(fields))


def query_of(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Lists are repeated; what is None is left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in fields.items():
        values = value if isinstance(value, list | tuple) else [value]
        pairs += [(name, _text(each)) for each in values if each is not None]
    return pairs


def _without_defaults(request: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """An older coordinator does not know the newest fields, and need not while nobody uses them."""
    defaults = {field.encode_name: _default_of(field) for field in msgspec.structs.fields(request)}
    return {name: value for name, value in fields.items() if name not in defaults or value != defaults[name]}


def _default_of(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default)
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    return _NO_DEFAULT


_NO_DEFAULT: Final = object()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
