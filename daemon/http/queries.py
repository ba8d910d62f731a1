"""The query of a request as a Struct: what is unknown, malformed or given twice is named."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from litestar import Request

from contracts.errors import InvalidInput
from daemon.http.reading import query_pairs

T = TypeVar("T", bound=msgspec.Struct)


def query_of(request: Request[Any, Any, Any], type_: type[T]) -> T:
    """The query as the Struct's fields; fields that are tuples may be repeated.  Raises: InvalidInput `input.invalid`."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(type_)}
    given: dict[str, Any] = {}
    for name, value in query_pairs(request.scope["query_string"]):
        if name not in fields:
            there = ", ".join(sorted(fields))
            raise InvalidInput(
                "input.invalid", f"there is no parameter {name[:100]!r} here; there are {there}", field=name[:100]
            )
        if getattr(fields[name], "__origin__", None) is tuple:
            given.setdefault(name, []).append(value)
        elif name in given:
            raise InvalidInput("input.invalid", f"{name} is given twice", field=name)
        else:
            given[name] = value
    for field in msgspec.structs.fields(type_):
        if field.required and field.encode_name not in given:
            raise InvalidInput("input.invalid", f"the parameter {field.encode_name} is missing", field=field.encode_name)
    try:
        return msgspec.convert(given, type_, strict=False)
    except msgspec.ValidationError as exc:
        message, _, path = str(exc).partition(" - at `")
        raise InvalidInput("input.invalid", message, field=path.rstrip("`").removeprefix("$.") or None) from exc
