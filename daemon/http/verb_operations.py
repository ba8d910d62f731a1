"""The verbs as operations of the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.control import BACKUP_DOWNLOAD, BACKUP_SHOW, VERBS, Verb
from contracts.ids import Slug
from contracts.struct_docs import field_docs, type_doc
from daemon.http.answering import has_location, is_creation, status_of_success
from daemon.http.examples import answer_example, field_example, request_example
from daemon.http.idempotency import HEADER, REPLAYED_HEADER, Key
from daemon.http.operations import UNSET, Answer, Operation, Parameter
from daemon.http.reading import ACTOR, Shape
from daemon.http.schemas import BodyOf, default_of

_SLUGS: Final = frozenset({"project", "service", "node"})
"""Names in paths, whatever their requests say of them."""
_MAY_CONFLICT: Final = frozenset({BACKUP_SHOW.name, BACKUP_DOWNLOAD.name})
"""What a GET may be refused for by the state of things."""

_KEY_PARAMETER: Final = Parameter(
    name=HEADER,
    type=Key,
    place="header",
    doc=(
        "A key of your own for this request, such as a random UUID.  The same request under the same key is answered with "
        "the first answer for 24 hours, and done once."
    ),
    example="5c3e1b0a-6a0f-4a1e-9d3c-0c1f7a2b9e44",
)


def verb_operations() -> list[Operation]:
    return [_operation(verb) for verb in VERBS.values()]


def _operation(verb: Verb[Any, Any]) -> Operation:
    shape = Shape.of(verb)
    request: type = verb.request
    docs = field_docs(request)
    fields = {field.name: field for field in msgspec.structs.fields(verb.request)}
    example = request_example(verb)
    in_query = verb.method in ("GET", "DELETE")

    parameters = [
        Parameter(
            name=name,
            place="path",
            type=Slug if name in _SLUGS else fields[name].type,
            doc=docs.get(name, ""),
            example=example[name],
        )
        for name in shape.path
    ]
    if in_query:
        parameters += [
            Parameter(
                name=name,
                type=fields[name].type,
                doc=docs.get(name, ""),
                default=UNSET if fields[name].required else default_of(fields[name]),
                example=example[name] if name in example else field_example(verb.request, fields[name]),
            )
            for name in shape.rest
        ]
    if is_creation(verb):
        parameters.append(_KEY_PARAMETER)
    has_body = not in_query and bool(shape.rest)
    return Operation(
        name=verb.name,
        method=verb.method,
        path=verb.path,
        summary=verb.doc,
        doc=type_doc(verb.request),
        role=verb.role,
        parameters=parameters,
        request=BodyOf(verb.request, frozenset(shape.path) | {ACTOR}) if has_body else UNSET,
        request_example={name: value for name, value in example.items() if name not in shape.path} if has_body else UNSET,
        answers=[_answer(verb)],
        refusals=_refusals(verb, shape),
    )


def _answer(verb: Verb[Any, Any]) -> Answer:
    status = status_of_success(verb)
    if status == 204:
        return Answer(status=204, doc="Done.", media_type="")
    headers: dict[str, str] = {}
    if has_location(verb):
        headers["Location"] = "The path of what was made."
    if is_creation(verb):
        headers[REPLAYED_HEADER] = "`true` on an answer that was given before."
    if "next_cursor" in verb.answer.__struct_fields__:
        headers["Link"] = 'The next page, as `rel="next"`; absent on the last.'
    return Answer(
        status=status,
        doc={200: "Done.", 201: "Made.", 202: "Asked for: what comes of it is in its record, and in events."}[status],
        type=verb.answer,
        headers=headers,
        example=answer_example(verb),
    )


def _refusals(verb: Verb[Any, Any], shape: Shape[Any]) -> list[int]:
    found: set[int] = set()
    fields = {*shape.path, *shape.rest}
    if shape.path or fields & {"project", "service", "id", "node", "nodes"}:
        found.add(404)
    if verb.changes or verb.name in _MAY_CONFLICT:
        found.add(409)
    if verb.method not in ("GET", "DELETE"):
        found |= {413, 415}
    if is_creation(verb):
        found.add(422)
    return sorted(found)
