"""The API as an OpenAPI 3.1 document: made from the verbs, and from what other routes say of themselves.

Source: OpenAPI Specification 3.1.1.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from contracts.errors import CODES, error
from daemon.http.operations import API_PREFIX, UNSET, Answer, Operation, Parameter
from daemon.http.problems import MEDIA_TYPE as PROBLEM_TYPE
from daemon.http.problems import TITLES, Problem, status_of
from daemon.http.schemas import Schema, Schemas
from daemon.http.verb_operations import verb_operations
from daemon.sse import MEDIA_TYPE as EVENT_STREAM

_COMMON_REFUSALS: Final = (400, 500, 503)
_REFUSALS_OF_TOKENS: Final = (401, 403, 429)

_ABOUT: Final = """\
Strongroom backs up the databases and storage of many projects.  Whatever its command line can do, these routes can do: they
carry the control verbs, which are also a NATS micro service, with the same requests, answers and error codes.

**Tokens.**  Send one with every request: `Authorization: Bearer srm_…`.  An admin makes them (`POST /tokens`, or
`strongroom token create`) with a role and, if they shall be good for one project only, its name.  Each role may do what
those before it may: `viewer` sees, `operator` runs backups, restores and downloads, `admin` changes and deletes.  Wrong
tokens are counted by address; after ten within a minute that address is answered with 429 for a while.

**Requests.**  Bodies are JSON in UTF-8, not more than 1 MiB.  A field or query parameter that there is not is refused with
its name; so is everything else that is wrong, and then nothing was changed.  A query parameter that is a list is repeated.

**Lists** come in pages.  `next_cursor` of an answer, if it is not empty, is the `cursor` of the next page; the header `Link`
has that page's address.  A newer version may add fields to answers: ignore those you do not know.

**Creations** take the header `Idempotency-Key`: send the same request again after an answer that was lost, and it is not
done twice.  The first answer is given again for 24 hours, but for a new token, which is shown once.

**Errors** are `application/problem+json` (RFC 9457).  `code` is stable and the same as in events, records and on the command
line; `detail` is a sentence that says what to do; `field` names what to correct.
"""

_TAGS: Final = {
    "overview": "Is everything safe?",
    "project": "Tenants: their quotas, and their keys.",
    "service": "The databases and storages of a project: what is backed up, where, and when.",
    "retention": "What is kept, and why.",
    "backup": "Runs, and what they left in the store.",
    "restore": "Backups put back.",
    "run": "Backups and restores while they are under way.",
    "node": "The hosts that run agents.",
    "event": "What happened.",
    "log": "What jobs say of their work.",
    "channel": "Who is told of what.",
    "ping": "URLs that are called after a good backup, for a dead man's switch.",
    "token": "What lets programs and people in.",
    "access": "Who you are here.",
    "status": "The coordinator itself.",
}


def openapi_document(others: Sequence[Operation] = ()) -> Schema:
    """The whole document, with the operations of routes that are no verbs."""
    operations = [*verb_operations(), *others]
    schemas = Schemas(received=_received(operations), sent=[*_sent(operations), Problem])
    paths: dict[str, dict[str, Schema]] = {}
    for operation in sorted(operations, key=lambda each: (_tag_rank(each), each.path)):
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    problem = schemas.of(Problem, received=False)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Strongroom",
            "version": importlib.metadata.version("strongroom"),
            "summary": "Backups of many databases: scheduled, end-to-end encrypted, streamed to S3, and rehearsed",
            "description": _ABOUT,
        },
        "servers": [{"url": API_PREFIX, "description": "This coordinator"}],
        "security": [{"token": []}],
        "tags": [
            {"name": name, "description": _TAGS.get(name, "")} for name in sorted(_tags(operations), key=_rank_of_name)
        ],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": {_response_name(status): _refusal(status, problem) for status in sorted(TITLES)},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "srm_<10 characters>_<43 characters>",
                    "description": "A token as `POST /tokens` makes it.",
                }
            },
        },
    }


def _operation(operation: Operation, schemas: Schemas) -> Schema:
    made: Schema = {
        "operationId": operation.name.replace(".", "_"),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": _described(operation),
        "x-strongroom-role": str(operation.role) if operation.role is not None else None,
        "parameters": [_parameter(each, schemas) for each in operation.parameters],
    }
    if operation.role is None:
        made["security"] = []
    if operation.request is not UNSET:
        schema = schemas.of(operation.request, received=True)
        content: Schema = {"schema": schema}
        if operation.request_example is not UNSET:
            content["example"] = operation.request_example
        made["requestBody"] = {
            "required": bool(schema.get("required")),
            "content": {"application/json": content},
        }
    made["responses"] = {
        **{str(answer.status): _success(answer, schemas) for answer in operation.answers},
        **{str(status): {"$ref": f"#/components/responses/{_response_name(status)}"} for status in refusals_of(operation)},
    }
    return {name: value for name, value in made.items() if (value is not None and value != []) or name == "security"}


def refusals_of(operation: Operation) -> list[int]:
    """The statuses of all problems that can come instead of an answer."""
    of_tokens = _REFUSALS_OF_TOKENS if operation.role is not None else ()
    return sorted({*_COMMON_REFUSALS, *of_tokens, *operation.refusals})


def _described(operation: Operation) -> str:
    needs = f"Needs the role `{operation.role}`." if operation.role is not None else "Needs no token."
    return "\n\n".join(part for part in (operation.doc, needs) if part)


def _parameter(parameter: Parameter, schemas: Schemas) -> Schema:
    schema = schemas.of(parameter.type, received=True)
    is_needed = parameter.place == "path" or (parameter.place == "query" and parameter.default is UNSET)
    if parameter.default is not UNSET and parameter.default is not None:
        schema = {**schema, "default": msgspec.to_builtins(parameter.default)}
    made: Schema = {"name": parameter.name, "in": parameter.place, "required": is_needed, "schema": schema}
    if parameter.doc:
        made["description"] = parameter.doc
    if parameter.example is not UNSET and parameter.example not in ("", None, []):
        made["example"] = parameter.example
    return made


def _success(answer: Answer, schemas: Schemas) -> Schema:
    made: Schema = {"description": answer.doc}
    if answer.headers:
        made["headers"] = {
            name: {"description": doc, "required": False, "schema": {"type": "string"}}
            for name, doc in answer.headers.items()
        }
    if answer.media_type:
        content: Schema = {}
        if answer.type is not UNSET:
            schema = schemas.of(answer.type, received=False)
            content["schema"] = _of_event_stream(schema) if answer.media_type == EVENT_STREAM else schema
        if answer.example is not UNSET:
            content["example"] = answer.example
        made["content"] = {answer.media_type: content}
    return made


def _of_event_stream(data: Schema) -> Schema:
    """What each event of the stream is; the document's version has no word for the sequence of them."""
    end = {"type": "object", "properties": {"reason": {"type": "string"}}, "required": ["reason"]}
    return {
        "type": "object",
        "properties": {
            "event": {"type": "string"},
            "data": {"type": "string", "contentMediaType": "application/json", "contentSchema": {"anyOf": [data, end]}},
            "id": {"type": "string"},
            "retry": {"type": "integer"},
        },
    }


def _refusal(status: int, problem: Schema) -> Schema:
    """With the codes that can stand in it."""
    codes = [f"- `{code}`: {meaning}" for code, meaning in CODES.items() if _status_of_code(code) == status]
    meaning = TITLES[status]
    made: Schema = {
        "description": "\n".join([f"{meaning}.", "", *codes]) if codes else f"{meaning}.",
        "content": {PROBLEM_TYPE: {"schema": problem, "example": _problem_example(status)}},
    }
    if status in (429, 503):
        made["headers"] = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
    return made


def _problem_example(status: int) -> Schema:
    code, detail = _EXAMPLES[status]
    return {"type": "about:blank", "title": TITLES[status], "status": status, "detail": detail, "code": code}


_EXAMPLES: Final = {
    400: ("input.invalid", "there is no field 'paralell' in the body here: it takes options, nodes"),
    401: ("access.unauthenticated", "show a token in the header `Authorization: Bearer srm_...`"),
    403: ("access.forbidden", "backup.create needs the role operator, and token:dashboard has viewer"),
    404: ("project.not_found", "there is no project 'acme'"),
    405: ("input.invalid", "POST is not possible here, but GET, HEAD, OPTIONS"),
    409: ("run.overlap", "another run of this service is under way"),
    413: ("input.invalid", "the body is larger than any request has to be"),
    415: ("input.malformed", "the body must be JSON, with the header `Content-Type: application/json`"),
    416: ("input.invalid", "the artifact has 73400320 bytes: no byte of the range is among them"),
    422: ("request.key_reused", "another request was sent under this key: take a new key for every new request"),
    429: ("access.limited", "too many failed attempts from this address: wait a minute, then use a valid token"),
    500: ("internal", "the coordinator met an unknown error; see its log"),
    503: ("bus.unavailable", "JetStream did not answer for 30 s: read strongroom-projects acme"),
}


def _status_of_code(code: str) -> int:
    return status_of(error(code, ""))


def _response_name(status: int) -> str:
    return "".join(word.capitalize() for word in TITLES[status].split())


def _received(operations: Iterable[Operation]) -> list[Any]:
    bodies = [each.request for each in operations if each.request is not UNSET]
    return [*bodies, *(parameter.type for each in operations for parameter in each.parameters)]


def _sent(operations: Iterable[Operation]) -> list[Any]:
    return [answer.type for each in operations for answer in each.answers if answer.type is not UNSET]


def _tags(operations: Iterable[Operation]) -> set[str]:
    return {each.tag for each in operations}


def _rank_of_name(name: str) -> int:
    return list(_TAGS).index(name) if name in _TAGS else len(_TAGS)


def _tag_rank(operation: Operation) -> int:
    return _rank_of_name(operation.tag)
