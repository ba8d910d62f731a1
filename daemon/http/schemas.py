"""JSON Schemas of our types, truer than what the library makes of them by itself.

What we send always has all its fields; what we are sent may leave those away that have a default, and has no others.  So a
Struct that travels both ways has two schemas; that of requests is then called `...Input`.  Patterns are those of ECMA-262,
times have their format, and what the source says below a field is its description.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import inspect

from contracts.struct_docs import field_docs, type_doc

Schema: TypeAlias = dict[str, Any]

REF: Final = "#/components/schemas/"


@dataclass(frozen=True)
class BodyOf:
    """A Struct without the fields that stand elsewhere in the request."""

    type: type
    without: frozenset[str]


class Schemas:
    """The schemas of all types that are sent and received, and the components that they refer to."""

    def __init__(self, *, received: Iterable[Any], sent: Iterable[Any]) -> None:
        """`received`: types of requests; `sent`: types of answers."""
        both = _structs(received) & _structs(sent)
        self._both = {each.__name__ for each in both}
        self._classes: dict[str, type] = {}
        self.components: dict[str, Schema] = {}
        """By their names, as far as something refers to them."""

    def of(self, type_: Any, *, received: bool) -> Schema:
        """What stands for the type where it is used."""
        if isinstance(type_, BodyOf):
            info = inspect.type_info(type_.type)
            assert isinstance(info, inspect.StructType)
            return self._struct(info, received, type_.without)
        return self._schema(inspect.type_info(type_), received)

    def _schema(self, info: inspect.Type, received: bool) -> Schema:  # noqa: C901 - one case a kind of type
        match info:
            case inspect.Metadata(type=inner):
                return self._schema(inner, received) | (info.extra_json_schema or {})
            case inspect.StructType() | inspect.EnumType():
                return {"$ref": REF + self._component(info, received)}
            case inspect.NoneType():
                return {"type": "null"}
            case inspect.BoolType():
                return {"type": "boolean"}
            case inspect.IntType():
                return {"type": "integer", **_bounds(info)}
            case inspect.FloatType():
                return {"type": "number", **_bounds(info)}
            case inspect.StrType():
                return {"type": "string", **_lengths(info, "Length"), **_pattern(info)}
            case inspect.BytesType():
                return {"type": "string", "contentEncoding": "base64"}
            case inspect.DateTimeType():
                return {"type": "string", "format": "date-time"}
            case inspect.LiteralType(values=values):
                return {"enum": list(values)}
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item) | inspect.SetType(item_type=item):
                return {"type": "array", "items": self._schema(item, received), **_lengths(info, "Items")}
            case inspect.DictType(value_type=value):
                return {"type": "object", "additionalProperties": self._schema(value, received)}
            case inspect.UnionType(types=types):
                return self._union(types, received)
            case inspect.AnyType() | inspect.RawType():
                return {}
        raise TypeError(f"no schema is known for {info}")

    def _union(self, types: tuple[inspect.Type, ...], received: bool) -> Schema:
        schema: Schema = {"anyOf": [self._schema(each, received) for each in types]}
        structs = [each for each in types if isinstance(each, inspect.StructType)]
        if len(structs) > 1 and all(each.tag_field for each in structs):
            refs = {str(each.tag): REF + self._name(each.cls, received) for each in structs}
            schema["discriminator"] = {"propertyName": structs[0].tag_field, "mapping": refs}
        return schema

    def _component(self, info: inspect.StructType | inspect.EnumType, received: bool) -> str:
        name = self._name(info.cls, received)
        if (known := self._classes.setdefault(name, info.cls)) is not info.cls:
            raise TypeError(f"{known} and {info.cls} have the same name")
        if name not in self.components:
            self.components[name] = {}  # a type may refer to itself
            self.components[name] = (
                self._struct(info, received, frozenset()) if isinstance(info, inspect.StructType) else _enum(info)
            )
        return name

    def _name(self, cls: type, received: bool) -> str:
        return f"{cls.__name__}Input" if received and cls.__name__ in self._both else cls.__name__

    def _struct(self, info: inspect.StructType, received: bool, without: frozenset[str]) -> Schema:
        docs = field_docs(info.cls)
        properties: Schema = {}
        needed = []
        if info.tag_field:
            properties[info.tag_field] = {"const": info.tag}
            needed.append(info.tag_field)
        for field in info.fields:
            if field.name in without:
                continue
            schema = self._schema(field.type, received)
            if received and (default := default_of(field)) is not msgspec.NODEFAULT:
                schema["default"] = default
            if doc := docs.get(field.name):
                schema["description"] = doc
            properties[field.encode_name] = schema
            if field.required or (not received and not info.cls.__struct_config__.omit_defaults):
                needed.append(field.encode_name)
        made: Schema = {"title": info.cls.__name__, "type": "object", "properties": properties}
        if doc := type_doc(info.cls):
            made["description"] = doc
        if needed:
            made["required"] = needed
        if received:
            made["additionalProperties"] = False
        return made


def default_of(field: inspect.Field | msgspec.structs.FieldInfo) -> Any:
    """As JSON has it; NODEFAULT without one."""
    if field.default_factory is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default_factory())
    if field.default is not msgspec.NODEFAULT:
        return msgspec.to_builtins(field.default)
    return msgspec.NODEFAULT


def _enum(info: inspect.EnumType) -> Schema:
    made: Schema = {"title": info.cls.__name__, "type": "string", "enum": [member.value for member in info.cls]}
    docs = field_docs(info.cls)
    members = [f"- `{member.value}`: {docs[member.name]}" for member in info.cls if member.name in docs]
    described = [each for each in (type_doc(info.cls), "\n".join(members)) if each]
    if described:
        made["description"] = "\n\n".join(described)
    return made


def _bounds(info: inspect.IntType | inspect.FloatType) -> Schema:
    names: Mapping[str, str] = {
        "ge": "minimum",
        "gt": "exclusiveMinimum",
        "le": "maximum",
        "lt": "exclusiveMaximum",
        "multiple_of": "multipleOf",
    }
    return {word: getattr(info, name) for name, word in names.items() if getattr(info, name) is not None}


def _lengths(info: Any, what: str) -> Schema:
    found = {f"min{what}": info.min_length, f"max{what}": info.max_length}
    return {word: length for word, length in found.items() if length is not None}


def _pattern(info: inspect.StrType) -> Schema:
    r"""Python's `\A` and `\Z` are `^` and `$` in ECMA-262, where these mean the whole text."""
    return {"pattern": info.pattern.replace(r"\A", "^").replace(r"\Z", "$")} if info.pattern else {}


def _structs(types: Iterable[Any]) -> set[type]:
    """All Structs that are met on the way through the types."""
    found: set[type] = set()
    pending = [inspect.type_info(each.type if isinstance(each, BodyOf) else each) for each in types]
    while pending:
        match pending.pop():
            case inspect.StructType(cls=cls, fields=fields) if cls not in found:
                found.add(cls)
                pending += [field.type for field in fields]
            case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item) | inspect.SetType(item_type=item):
                pending.append(item)
            case inspect.DictType(value_type=item) | inspect.Metadata(type=item):
                pending.append(item)
            case inspect.UnionType(types=each):
                pending += each
    return found
