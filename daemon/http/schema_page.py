"""The OpenAPI document as a page to read: rendered here, and nothing on it comes from anywhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import jinja2
from markupsafe import Markup, escape

from daemon.http.schemas import Schema

_CODE: Final = re.compile(r"`([^`]+)`")
_BOLD: Final = re.compile(r"\*\*([^*]+)\*\*")
_ENVIRONMENT: Final = jinja2.Environment(
    loader=jinja2.PackageLoader("daemon.http"), autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
)


@dataclass(frozen=True)
class Row:
    """A field or a parameter."""

    name: str
    type: Markup
    needed: bool
    doc: str


@dataclass(frozen=True)
class _Operation:
    id: str
    method: str
    path: str
    role: str | None
    summary: str
    doc: str
    tables: list[tuple[str, list[Row]]]
    curl: str
    statuses: list[tuple[str, str]]
    answer: str


def schema_page(document: Schema) -> str:
    """The page."""
    made = [
        (operation["tags"][0], _operation(path, method, operation, document))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    groups = [
        {
            "name": tag["name"],
            "description": tag["description"],
            "operations": [operation for name, operation in made if name == tag["name"]],
        }
        for tag in document["tags"]
    ]
    types = [
        {"name": name, "doc": schema.get("description", ""), "rows": _fields(schema)}
        for name, schema in document["components"]["schemas"].items()
    ]
    return _ENVIRONMENT.get_template("schema.html").render(document=document, groups=groups, types=types)


def style_sheet() -> str:
    source, _, _ = _ENVIRONMENT.loader.get_source(_ENVIRONMENT, "schema.css")  # type: ignore[union-attr]
    return source


def marked(text: str) -> Markup:
    """Paragraphs, lists, `code` and **bold**, of what our own source says: as much Markdown as stands there."""
    blocks = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line.strip()]
        if lines and all(line.startswith("- ") for line in lines):
            items = Markup().join(Markup("<li>{}</li>").format(_inline(line[2:])) for line in lines)
            blocks.append(Markup("<ul>{}</ul>").format(items))
        elif lines:
            blocks.append(Markup("<p>{}</p>").format(_inline(" ".join(lines))))
    return Markup("\n").join(blocks)


def _inline(text: str) -> Markup:
    escaped = _CODE.sub(r"<code>\1</code>", str(escape(text)))
    return Markup(_BOLD.sub(r"<strong>\1</strong>", escaped))  # noqa: S704 - escaped in the line above


_ENVIRONMENT.filters["marked"] = marked


def type_words(schema: Schema) -> Markup:
    """Such as `array of RunState`, with links to the types of the page."""
    match schema:
        case {"$ref": reference}:
            name = str(reference).rpartition("/")[2]
            return Markup('<a href="#type-{0}">{0}</a>').format(name)
        case {"anyOf": choices}:
            return Markup(" or ").join(type_words(each) for each in choices)
        case {"type": "array", "items": items}:
            return Markup("array of {}").format(type_words(items))
        case {"type": "object", "additionalProperties": dict() as values}:
            return Markup("object of {}").format(type_words(values))
        case {"const": value}:
            return Markup("<code>{}</code>").format(json.dumps(value))
        case {"enum": values}:
            return Markup(", ").join(Markup("<code>{}</code>").format(value) for value in values)
        case {"type": name}:
            return Markup("{}{}").format(name, f" ({schema['format']})" if "format" in schema else "")
    return Markup("anything")


def _operation(path: str, method: str, operation: Schema, document: Schema) -> _Operation:
    parameters = operation.get("parameters", [])
    places = {"path": "Path", "query": "Query", "header": "Headers"}
    tables = [
        (title, rows)
        for place, title in places.items()
        if (rows := [_parameter(each) for each in parameters if each["in"] == place])
    ]
    body = _content(operation.get("requestBody", {}))
    if body:
        tables.append(("Body", _fields(body["schema"])))
    successes = [answer for status, answer in operation["responses"].items() if status < "4"]
    answer = _content(successes[0]).get("example") if successes else None
    return _Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        role=operation.get("x-strongroom-role"),
        summary=operation["summary"],
        doc=operation.get("description", ""),
        tables=tables,
        curl=_curl(path, method, parameters, body, document),
        statuses=list(_statuses(operation["responses"], document)),
        answer=json.dumps(answer, indent=2, ensure_ascii=False) if answer is not None else "",
    )


def _parameter(parameter: Schema) -> Row:
    words = type_words(parameter["schema"])
    return Row(parameter["name"], words, parameter["required"], parameter.get("description", ""))


def _fields(schema: Schema) -> list[Row]:
    needed = schema.get("required", [])
    return [
        Row(name, type_words(each), name in needed, each.get("description", ""))
        for name, each in schema.get("properties", {}).items()
    ]


def _statuses(responses: Mapping[str, Schema], document: Schema) -> Iterable[tuple[str, str]]:
    for status, answer in responses.items():
        if "$ref" in answer:
            answer = document["components"]["responses"][answer["$ref"].rpartition("/")[2]]  # noqa: PLW2901 - the same
        yield status, answer["description"].partition("\n")[0]


def _content(holder: Schema) -> Schema:
    content: Schema = next(iter(holder.get("content", {}).values()), {})
    return content


def _curl(path: str, method: str, parameters: list[Schema], body: Schema, document: Schema) -> str:
    query = []
    for each in parameters:
        example = each.get("example")
        if each["in"] == "path":
            path = path.replace(f"{{{each['name']}}}", str(example))
        elif each["in"] == "query" and (each["required"] or example is not None):
            query += [f"{each['name']}={value}" for value in (example if isinstance(example, list) else [example])]
    url = f"$STRONGROOM_URL{document['servers'][0]['url']}{path}" + (f"?{'&'.join(query)}" if query else "")
    lines = [f'curl {"" if method == "get" else f"-X {method.upper()} "}-H "Authorization: Bearer $STRONGROOM_TOKEN"']
    if "example" in body:
        lines += ["-H 'Content-Type: application/json'", f"-d '{json.dumps(body['example'], ensure_ascii=False)}'"]
    return " \\\n  ".join([*lines, f'"{url}"'])
