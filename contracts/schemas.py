"""JSON Schemas (2020-12) of everything that travels, made from the Structs that read and write it.

What the library makes of the types is completed by what it leaves out: the format of times, patterns as ECMA-262 has them,
and the words that stand below a field in the source.  Fields with a default may be absent, and unknown ones are allowed
where the Struct allows them: a newer program may add some.
"""

from __future__ import annotations

import inspect as python_inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import inspect

from contracts import asks, reports, requests
from contracts.control import VERBS
from contracts.errors import ErrorInfo, NotFound
from contracts.events import Event
from contracts.manifest import Manifest
from contracts.struct_docs import field_docs, type_doc

Schema: TypeAlias = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_BY_LIBRARY: Final = "#/$defs/{name}"

ANSWERS: Final[tuple[type, ...]] = (
    asks.BackupJob,
    asks.RestoreJob,
    asks.Current,
    asks.Grant,
    asks.Closed,
    asks.Aborted,
    asks.DownloadGrant,
    asks.Refused,
)
"""What the coordinator answers to agents."""
_MESSAGES: Final[tuple[type, ...]] = (
    requests.BackupRequest,
    requests.RestoreRequest,
    reports.BackupFinished,
    reports.RestoreFinished,
    reports.RunFailedReport,
    reports.Heartbeat,
    reports.Progress,
    reports.LogLine,
    asks.Question,
    *ANSWERS,
    Event,
    ErrorInfo,
    Manifest,
)


def message_types() -> dict[str, type]:
    """All types that are whole messages, by name: those between coordinator and agents, and of the verbs."""
    found = [*_MESSAGES, *(type_ for verb in VERBS.values() for type_ in (verb.request, verb.answer))]
    by_name: dict[str, type] = {}
    for type_ in found:
        if by_name.setdefault(type_.__name__, type_) is not type_:
            raise TypeError(f"{by_name[type_.__name__]} and {type_} have the same name")
    return dict(sorted(by_name.items()))


@lru_cache(maxsize=512)
def message_schema(name: str) -> Schema:
    """The schema of one message, with everything that it refers to.  Raises: NotFound `schema.not_found`."""
    type_ = message_types().get(name)
    if type_ is None:
        raise NotFound(
            "schema.not_found",
            f"there is no message {name!r}: the endpoints' metadata name those that there are (`$SRV.INFO.strongroom`)",
            field="name",
        )
    parts = components([type_])
    return {"$schema": DIALECT, "$id": schema_id(name), "$ref": f"#/$defs/{name}", "$defs": parts}


def schema_id(name: str) -> str:
    """A name of the schema for everybody; `ce-dataschema` of events is such a one."""
    return f"urn:strongroom:schema:{name}"


def components(types: Iterable[Any], ref: Callable[[str], str] = lambda name: f"#/$defs/{name}") -> dict[str, Schema]:
    """The schemas of these types and of all that they refer to, by their names; `ref` is how one refers to another."""
    _, made = msgspec.json.schema_components(list(types), ref_template=_BY_LIBRARY)
    classes = {cls.__name__: info for cls, info in _classes(types).items()}
    if missing := made.keys() - classes.keys():
        raise TypeError(f"two types share a name: {sorted(missing)}")
    return {name: _completed(made[name], classes[name], ref) for name in sorted(made)}


def _completed(schema: Schema, info: inspect.StructType | inspect.EnumType, ref: Callable[[str], str]) -> Schema:
    completed = dict(schema)
    if description := _description(info):
        completed["description"] = description
    else:
        completed.pop("description", None)
    if isinstance(info, inspect.EnumType):
        completed["enum"] = [member.value for member in info.cls]
    elif "properties" in completed:
        docs = field_docs(info.cls)
        properties = dict(completed["properties"])
        for field in info.fields:
            told = _typed(properties[field.encode_name], field.type)
            if doc := docs.get(field.name):
                told = {**told, "description": doc}
            properties[field.encode_name] = told
        completed["properties"] = properties
    cleaned: Schema = _cleaned(completed, ref)
    return cleaned


def _description(info: inspect.StructType | inspect.EnumType) -> str:
    # An enum without words of its own shows those of the standard library's.
    own = type_doc(info.cls)
    if not isinstance(info, inspect.EnumType):
        return own
    docs = field_docs(info.cls)
    members = [f"- `{member.value}`: {docs[member.name]}" for member in info.cls if member.name in docs]
    return "\n\n".join(part for part in (own, "\n".join(members)) if part)


def _typed(schema: Schema, type_: inspect.Type) -> Schema:
    """With the format of times, wherever they stand: the library leaves it away where a time need not be aware."""
    match type_:
        case inspect.DateTimeType():
            return {**schema, "format": "date-time"}
        case inspect.Metadata(type=inner):
            return _typed(schema, inner)
        case inspect.ListType(item_type=item) if "items" in schema:
            return {**schema, "items": _typed(schema["items"], item)}
        case inspect.UnionType(types=types) if "anyOf" in schema and len(types) == len(schema["anyOf"]):
            if any(isinstance(each, inspect.DateTimeType) for each in types):
                told = [
                    {**part, "format": "date-time"} if part.get("type") == "string" else part for part in schema["anyOf"]
                ]
                return {**schema, "anyOf": told}
    return schema


def _cleaned(value: Any, ref: Callable[[str], str]) -> Any:
    """References and patterns as they should be; what only OpenAPI knows (`discriminator`) is left away."""
    if isinstance(value, list):
        return [_cleaned(each, ref) for each in value]
    if not isinstance(value, Mapping):
        return value
    cleaned: Schema = {}
    for name, part in value.items():
        if name == "discriminator" and isinstance(part, Mapping) and "propertyName" in part:
            continue
        if name == "$ref" and isinstance(part, str):
            cleaned[name] = ref(part.rpartition("/")[2])
        elif name == "pattern" and isinstance(part, str):
            cleaned[name] = part.replace(r"\A", "^").replace(r"\Z", "$")
        elif name == "description" and isinstance(part, str):
            cleaned[name] = python_inspect.cleandoc(part)
        else:
            cleaned[name] = _cleaned(part, ref)
    return cleaned


def _classes(types: Iterable[Any]) -> dict[type, inspect.StructType | inspect.EnumType]:
    """All Structs and enums that are met on the way through the types."""
    found: dict[type, inspect.StructType | inspect.EnumType] = {}
    pending = [inspect.type_info(each) for each in types]
    while pending:
        match pending.pop():
            case inspect.StructType() as info if info.cls not in found:
                found[info.cls] = info
                pending += [field.type for field in info.fields]
            case inspect.EnumType() as info:
                found[info.cls] = info
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item) | inspect.SetType(item_type=item):
                pending.append(item)
            case inspect.DictType(value_type=item) | inspect.Metadata(type=item):
                pending.append(item)
            case inspect.UnionType(types=each):
                pending += each
    return found
