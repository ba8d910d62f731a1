"""All documents by their file names: the same whenever they are made."""

from __future__ import annotations

import json
from typing import Any

from contracts.schemas import DIALECT, components, message_types
from scripts.documents.asyncapi import asyncapi_document


def documents() -> dict[str, str]:
    """`asyncapi.json`, and a schema for each type, which refers to others by the names of their files."""
    made = {"asyncapi.json": _text(asyncapi_document())}
    for name, schema in components(message_types().values(), schema_file).items():
        made[f"schemas/{schema_file(name)}"] = _text({"$schema": DIALECT, **schema})
    return made


def schema_file(name: str) -> str:
    return f"{name}.schema.json"


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
