"""A misspelt field is an error, not a default: also inside of what a request holds, where records have to be tolerant."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from msgspec import inspect


def unknown_field(type_: Any, value: Any) -> str | None:
    """The path of the first field that the type does not have, such as `options.paralell`; None where all are known."""
    return _search(_info(type_), value, "")


@lru_cache(maxsize=256)
def _info(type_: Any) -> inspect.Type:
    return inspect.type_info(type_)


def _search(info: inspect.Type, value: Any, path: str) -> str | None:
    match info, value:
        case inspect.UnionType(types=types), dict() | list():
            chosen = _chosen(types, value)
            return _search(chosen, value, path) if chosen is not None else None
        case inspect.StructType(), dict():
            return _in_struct(info, value, path)
        case inspect.DictType(value_type=inner), dict():
            return _first(_search(inner, each, _below(path, name)) for name, each in value.items())
        case inspect.ListType(item_type=inner), list():
            return _first(_search(inner, each, f"{path}[{place}]") for place, each in enumerate(value))
    return None


def _in_struct(info: inspect.StructType, value: dict[str, Any], path: str) -> str | None:
    fields = {field.encode_name: field.type for field in info.fields}
    for name, each in value.items():
        if name in fields:
            found = _search(fields[name], each, _below(path, name))
        else:
            found = None if name == info.tag_field else _below(path, name)
        if found is not None:
            return found
    return None


def _chosen(types: Sequence[inspect.Type], value: Any) -> inspect.Type | None:
    """Which of a union's types the value is meant to be; None where it cannot be told, and decoding will say why."""
    if isinstance(value, list):
        return next((each for each in types if isinstance(each, inspect.ListType)), None)
    structs = [each for each in types if isinstance(each, inspect.StructType)]
    if len(structs) == 1:
        return structs[0]
    if structs:
        return next((each for each in structs if each.tag_field and value.get(each.tag_field) == each.tag), None)
    return next((each for each in types if isinstance(each, inspect.DictType)), None)


def _first(found: Any) -> str | None:
    return next((each for each in found if each is not None), None)


def _below(path: str, name: Any) -> str:
    return f"{path}.{name}" if path else str(name)
