"""The document is whole and true: what it says of requests and answers is what our types say, and its examples are both."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from contracts.control import VERBS, Verb
from contracts.errors import CODES
from contracts.ids import Slug
from contracts.wire import encode
from daemon.http.answering import status_of_success
from daemon.http.examples import answer_example, request_example
from daemon.http.openapi import openapi_document
from daemon.http.schema_page import marked, schema_page
from daemon.http.schema_routes import whole_document
from daemon.http.schemas import REF, BodyOf, Schemas
from tests.daemon.http.calling import Door

DOCUMENT = json.loads(encode(whole_document()))
OPERATIONS = [
    (path, method, operation) for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()
]
METHODS = {"get", "post", "put", "patch", "delete"}


def resolved(node: Any) -> Any:
    """With the components in reach, as a validator needs them."""
    return {**node, "components": DOCUMENT["components"]}


def check(value: Any, schema: Any) -> None:
    Draft202012Validator(resolved(schema), format_checker=FormatChecker()).validate(value)


def walk(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for each in node.values():
            yield from walk(each)
    elif isinstance(node, list):
        for each in node:
            yield from walk(each)


def test_every_verb_is_an_operation_with_its_status_and_role() -> None:
    found = {operation["operationId"]: (path, method, operation) for path, method, operation in OPERATIONS}
    assert len(found) == len(OPERATIONS)
    for verb in VERBS.values():
        path, method, operation = found[verb.name.replace(".", "_")]
        assert (path, method) == (verb.path, verb.method.lower())
        assert operation["x-strongroom-role"] == str(verb.role)
        assert str(status_of_success(verb)) in operation["responses"]
        assert operation["summary"] == verb.doc


def test_every_reference_leads_somewhere_and_every_component_is_used() -> None:
    references = {node["$ref"] for node in walk(DOCUMENT) if "$ref" in node}
    for reference in references:
        place: Any = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
    schemas = {REF + name for name in DOCUMENT["components"]["schemas"]}
    assert schemas <= references | {node for each in walk(DOCUMENT) for node in each.get("mapping", {}).values()}


def test_every_schema_is_json_schema_and_its_patterns_are_those_of_ecma_262() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert not re.search(r"\\\\[AZ]", json.dumps(schema)), name


def test_the_placeholders_of_a_path_are_its_parameters() -> None:
    for path, method, operation in OPERATIONS:
        assert method in METHODS
        places = [each["name"] for each in operation.get("parameters", []) if each["in"] == "path"]
        assert sorted(places) == sorted(re.findall(r"\{(\w+)\}", path))
        assert all(each["required"] for each in operation.get("parameters", []) if each["in"] == "path")


def test_nobody_is_told_to_say_who_he_is() -> None:
    for _, _, operation in OPERATIONS:
        assert "actor" not in [each["name"] for each in operation.get("parameters", [])]
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "actor" not in content["schema"]["properties"]


def test_every_operation_says_what_may_go_wrong_with_the_codes_of_it() -> None:
    for _, _, operation in OPERATIONS:
        assert {"400", "401", "403", "429", "500", "503"} <= operation["responses"].keys()
    told = " ".join(each["description"] for each in DOCUMENT["components"]["responses"].values())
    assert not [code for code in CODES if f"`{code}`" not in told]


def test_every_example_is_one_of_its_schema() -> None:
    examples = 0
    for _, _, operation in OPERATIONS:
        for parameter in operation.get("parameters", []):
            if "example" in parameter:
                check(parameter["example"], parameter["schema"])
                examples += 1
            if "default" in parameter["schema"]:
                check(parameter["schema"]["default"], parameter["schema"])
        contents = [operation.get("requestBody", {}), *operation["responses"].values()]
        for content in [each for holder in contents for each in holder.get("content", {}).values()]:
            if "example" in content:
                check(content["example"], content["schema"])
                examples += 1
    for response in DOCUMENT["components"]["responses"].values():
        for content in response["content"].values():
            check(content["example"], content["schema"])
    assert examples > 100


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_every_example_is_read_and_written_by_its_verb(verb: Verb[Any, Any]) -> None:
    request = msgspec.convert(request_example(verb), verb.request)
    assert msgspec.json.decode(encode(request), type=verb.request) == request
    answer = answer_example(verb)
    assert msgspec.to_builtins(msgspec.convert(answer, verb.answer)) == answer


@pytest.mark.parametrize(
    "verb", [verb for verb in VERBS.values() if verb.method not in ("GET", "DELETE")], ids=lambda verb: verb.name
)
def test_every_verb_that_takes_a_body_shows_one(verb: Verb[Any, Any]) -> None:
    operation = DOCUMENT["paths"][verb.path][verb.method.lower()]
    body = operation.get("requestBody")
    fields = {field.name for field in msgspec.structs.fields(verb.request)} - {"actor"}
    assert (body is not None) == any(f"{{{name}}}" not in verb.path for name in fields)
    if body is not None:
        assert "example" in body["content"]["application/json"]


def test_the_document_is_the_same_whenever_it_is_made() -> None:
    assert encode(openapi_document()) == encode(openapi_document())


class Colour(StrEnum):
    """What it looks like."""

    RED = "red"
    """As a rose."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    size: Annotated[int, msgspec.Meta(ge=1)] = 7
    """In bytes."""


class Whole(msgspec.Struct, kw_only=True):
    name: Slug
    part: Part = Part()
    colour: Colour | None = None


def test_what_travels_both_ways_is_told_for_both() -> None:
    schemas = Schemas(received=[Whole], sent=[Whole])
    assert schemas.of(Whole, received=True) == {"$ref": f"{REF}WholeInput"}
    assert schemas.of(Whole, received=False) == {"$ref": f"{REF}Whole"}
    given, sent = schemas.components["WholeInput"], schemas.components["Whole"]
    assert given["required"] == ["name"]
    assert given["additionalProperties"] is False
    assert given["properties"]["part"] == {"$ref": f"{REF}PartInput", "default": {"size": 7}}
    assert sent["required"] == ["name", "part", "colour"]
    assert "additionalProperties" not in sent
    assert schemas.components["Part"]["properties"]["size"] == {"type": "integer", "minimum": 1, "description": "In bytes."}
    assert schemas.components["Colour"]["description"] == "What it looks like.\n\n- `red`: As a rose."
    assert "ColourInput" not in schemas.components


def test_fields_that_stand_elsewhere_are_not_in_the_body() -> None:
    schema = Schemas(received=[Whole], sent=[]).of(BodyOf(Whole, frozenset({"name", "colour"})), received=True)
    assert list(schema["properties"]) == ["part"]
    assert "required" not in schema


def test_the_page_has_every_operation_and_nothing_from_elsewhere() -> None:
    page = schema_page(whole_document())
    for _, _, operation in OPERATIONS:
        assert f'id="{operation["operationId"]}"' in page
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert {each for each in links if not each.startswith("#")} == {"/schema/style.css", "/schema/openapi.json"}
    identifiers = re.findall(r'\bid="([^"]*)"', page)
    assert len(set(identifiers)) == len(identifiers)
    assert {each[1:] for each in links if each.startswith("#")} <= set(identifiers)
    assert "<script" not in page
    assert "style=" not in page


def test_words_are_marked_and_never_markup() -> None:
    assert marked("a `b<c>` **d**\nsame\n\n- one\n- two") == (
        "<p>a <code>b&lt;c&gt;</code> <strong>d</strong> same</p>\n<ul><li>one</li><li>two</li></ul>"
    )


async def test_anybody_may_read_what_the_api_is(door: Door) -> None:
    page = await door.http.get("/schema")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "script-src" not in page.headers["content-security-policy"]
    assert (await door.http.get("/schema/style.css")).headers["content-type"] == "text/css; charset=utf-8"
    document = await door.http.get("/schema/openapi.json")
    assert document.json() == DOCUMENT
    again = await door.http.get("/schema/openapi.json", headers={"If-None-Match": document.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
