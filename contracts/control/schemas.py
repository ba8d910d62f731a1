"""The verb that tells what messages look like."""

from __future__ import annotations

from typing import Any

import msgspec

from contracts.access import Role
from contracts.control.verb import Verb


class SchemaOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    """Of a message, such as `BackupCreate`; the metadata of the service's endpoints name them all."""


class MessageSchema(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    schema: dict[str, Any]
    """JSON Schema 2020-12, with all that it refers to."""


SCHEMA_SHOW = Verb(
    "schema.show",
    SchemaOf,
    MessageSchema,
    "The JSON Schema of a message",
    role=Role.VIEWER,
    route="GET /schemas/{name}",
)
