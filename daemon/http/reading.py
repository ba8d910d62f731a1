"""A verb's request out of an HTTP request: path, query or body, and nothing that has no meaning.

Pure.  Whoever calls is never taken from here: the field `actor` is the caller's, as the coordinator knows it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from contracts.control import Verb
from contracts.errors import InvalidInput
from daemon.http.strictness import unknown_field

Q = TypeVar("Q")

ACTOR: Final = "actor"
_MOST_PARAMETERS: Final = 1_000
_MOST_NAME: Final = 100
"""Characters of a name that is repeated in an error."""


@dataclass(frozen=True)
class Shape(Generic[Q]):
    """Where the fields of a verb's request are found."""

    request: type[Q]
    path: tuple[str, ...]
    rest: tuple[str, ...]
    """Of the query, or the body."""
    lists: frozenset[str]
    """Those of the rest that may be given several times in a query."""

    @classmethod
    def of(cls, verb: Verb[Q, Any]) -> Shape[Q]:
        path = tuple(part[1:-1] for part in verb.path.split("/") if part.startswith("{"))
        fields = {field.name: field for field in msgspec.structs.fields(verb.request)}  # type: ignore[arg-type]
        assert set(path) <= set(fields), f"{verb.name}: {verb.path} has a placeholder that is no field of its request"
        rest = tuple(name for name in fields if name not in path and name != ACTOR)
        lists = frozenset(name for name in rest if isinstance(inspect.type_info(fields[name].type), inspect.ListType))
        return cls(verb.request, path, rest, lists)

    def from_query(self, path: Mapping[str, str], query: bytes) -> Q:
        """Of a GET or DELETE.  Raises: InvalidInput naming the parameter."""
        given: dict[str, Any] = {}
        for name, text in query_pairs(query):
            if name not in self.rest:
                raise _unknown(name, "query", self.rest)
            if name in self.lists:
                given.setdefault(name, []).append(text)
            elif name in given:
                raise InvalidInput("input.invalid", f"{name} is given twice in the query", field=name)
            else:
                given[name] = text
        return self._convert({**path, **given}, strict=False)

    def refuse_query(self, query: bytes) -> None:
        """For what takes a body.  Raises: InvalidInput naming the first parameter."""
        for name, _ in query_pairs(query):
            raise InvalidInput(
                "input.invalid", f"there is no query here: send {name[:_MOST_NAME]} in the body", field=name[:_MOST_NAME]
            )

    def from_body(self, path: Mapping[str, str], body: bytes) -> Q:
        """Of anything else; a body without a byte is an empty object.

        Raises: InvalidInput `input.malformed` for what is no JSON object, `input.invalid` naming the field.
        """
        given = decode_object(body)
        for name in given:
            if name in self.path:
                raise InvalidInput("input.invalid", f"{name} stands in the path: leave it out of the body", field=name)
            if name not in self.rest:
                raise _unknown(name, "body", self.rest)
        if stranger := unknown_field(self.request, given):
            raise InvalidInput("input.invalid", f"there is no field {stranger[:_MOST_NAME]!r}", field=stranger[:_MOST_NAME])
        return self._convert({**path, **given}, strict=True)

    def _convert(self, fields: Mapping[str, Any], *, strict: bool) -> Q:
        try:
            return msgspec.convert(fields, self.request, strict=strict)
        except msgspec.ValidationError as exc:
            message, field = _explained(str(exc))
            if message.startswith("Invalid enum value") and (choices := self._choices(field)):
                message = f"{message}: it is one of {', '.join(choices)}"
            raise InvalidInput("input.invalid", message, field=field or None) from exc

    def _choices(self, field: str) -> Sequence[str]:
        """The values of a field of the request itself, where there are only so many."""
        name = field.partition("[")[0]
        type_ = next((each.type for each in msgspec.structs.fields(self.request) if each.name == name), str)  # type: ignore[arg-type]
        pending = [inspect.type_info(type_)]
        while pending:
            match pending.pop():
                case inspect.EnumType(cls=cls):
                    return [str(member.value) for member in cls]
                case inspect.ListType(item_type=item):
                    pending.append(item)
                case inspect.UnionType(types=types):
                    pending.extend(types)
        return []


def query_pairs(query: bytes) -> Sequence[tuple[str, str]]:
    """Names and values in their order.  Raises: InvalidInput `input.malformed`."""
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=bool(query),
            errors="strict",
            max_num_fields=_MOST_PARAMETERS,
        )
    except ValueError as exc:
        raise InvalidInput(
            "input.malformed", "the query is not name=value&name=value, percent-encoded UTF-8", field="query"
        ) from exc


def decode_object(body: bytes) -> dict[str, Any]:
    """Raises: InvalidInput `input.malformed`."""
    try:
        value = msgspec.json.decode(body or b"{}")
    except RecursionError as exc:
        raise InvalidInput("input.malformed", "the body is nested too deeply") from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise InvalidInput("input.malformed", f"the body is not JSON: {exc}") from exc
    if not isinstance(value, dict):
        raise InvalidInput("input.malformed", "the body must be a JSON object")
    return value


def _unknown(name: str, place: str, known: Sequence[str]) -> InvalidInput:
    choice = f"it takes {', '.join(known)}" if known else "it takes none"
    return InvalidInput(
        "input.invalid", f"there is no field {name[:_MOST_NAME]!r} in the {place} here: {choice}", field=name[:_MOST_NAME]
    )


def _explained(error: str) -> tuple[str, str]:
    """A sentence and the field's path, out of what msgspec says."""
    message, _, where = error.partition(" - at `")
    path = where.rstrip("`").removeprefix("$").removeprefix(".")
    _, is_missing, name = message.partition("Object missing required field `")
    if is_missing:
        path = f"{path}.{name.rstrip('`')}".removeprefix(".")
        return f"the field {path} is missing", path
    return message, path
