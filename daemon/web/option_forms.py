"""The options of a service as a form: one field for each field of the kind's Struct, found by its type.

Labels are ours; what helps to fill a field in is what the Struct's own source says of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from markupsafe import Markup, escape
from msgspec import inspect

from contracts.errors import InvalidInput
from contracts.services import OPTIONS_BY_KIND, ServiceOptions
from contracts.struct_docs import field_docs, type_doc
from daemon.web.forms import Form

PREFIX: Final = "option."
"""Of the names of these fields, which stand beside others in a form."""

KIND_NAMES: Final = {
    "postgresql": "PostgreSQL",
    "mariadb": "MariaDB",
    "qdrant": "Qdrant",
    "elasticsearch": "Elasticsearch, OpenSearch",
    "nats": "NATS JetStream",
    "meilisearch": "Meilisearch",
    "shared-storage": "Shared storage",
}
_LABELS: Final = {
    "method": "Method",
    "include": "Only these",
    "exclude": "Leave out",
    "globals": "Roles and tablespaces",
    "users": "Accounts and grants",
    "cluster_metadata": "Templates, pipelines and the like",
    "consumers": "Durable consumers",
    "one_file_system": "Leave out mounted file systems",
    "lock_timeout_s": "Wait for locks, in seconds",
    "timeout_s": "Time for a dump, in seconds",
    "changed_limit": "Changed files that are tolerated",
    "slices": "Requests at once for each index",
    "parallel": "At once",
}


_FIELD: Final = re.compile(r"`(\w+)`")


@dataclass(frozen=True, kw_only=True)
class OptionField:
    """One field of the form."""

    name: str
    label: str
    help: Markup
    widget: str
    """`choice`, `check`, `number` or `lines`."""
    choices: Sequence[str] = ()
    least: int | None = None
    most: int | None = None


def option_fields(kind: str) -> list[OptionField]:
    """In the order of the Struct.  Raises: InvalidInput `input.invalid` for a kind that there is not."""
    type_ = options_type(kind)
    docs = field_docs(type_)
    info = inspect.type_info(type_)
    assert isinstance(info, inspect.StructType)
    return [_field(each, docs.get(each.name, "")) for each in info.fields]


def options_type(kind: str) -> type[ServiceOptions]:
    """Raises: InvalidInput."""
    if kind not in OPTIONS_BY_KIND:
        kinds = ", ".join(OPTIONS_BY_KIND)
        raise InvalidInput("input.invalid", f"there is no kind {kind[:40]!r}; there are {kinds}", field="kind")
    return OPTIONS_BY_KIND[kind]


def about_kind(kind: str) -> str:
    """What is backed up, and in which pieces: half a sentence."""
    return type_doc(options_type(kind)).rstrip(".")


def filled_options(options: ServiceOptions) -> dict[str, str]:
    """The values of the fields as `Form.filled` takes them."""
    values: dict[str, Any] = msgspec.to_builtins(options)
    return {PREFIX + name: _spelled(value) for name, value in values.items() if name != "kind"}


def read_options(kind: str, form: Form) -> ServiceOptions:
    """Options of that kind, as the form has them.  A field that was left empty has its default.

    Raises: InvalidInput; its `field` is one of the form, or None.
    """
    document: dict[str, Any] = {}
    for field in option_fields(kind):
        name = PREFIX + field.name
        if field.widget == "check":
            document[field.name] = form.checked(name)
        elif field.widget == "lines":
            document[field.name] = form.lines(name)
        elif text := form.value(name):
            document[field.name] = text
    try:
        return msgspec.convert(document, options_type(kind), strict=False)
    except msgspec.ValidationError as exc:
        message, _, path = str(exc).partition(" - at `")
        at = re.match(r"\$\.(\w+)", path)
        raise InvalidInput("input.invalid", message, field=PREFIX + at[1] if at else None) from exc


def _field(field: inspect.Field, doc: str) -> OptionField:
    kind = field.type
    label = _label(field.name)
    base: dict[str, Any] = {"name": field.name, "label": label, "help": with_code(_FIELD.sub(_named, doc))}
    match kind:
        case inspect.LiteralType(values=values):
            return OptionField(**base, widget="choice", choices=[str(value) for value in values])
        case inspect.BoolType():
            return OptionField(**base, widget="check")
        case inspect.IntType(ge=least, le=most):
            return OptionField(**base, widget="number", least=least, most=most)
        case _:
            return OptionField(**base, widget="lines")


def _label(name: str) -> str:
    return _LABELS.get(name, name.replace("_", " ").capitalize())


def _named(match: re.Match[str]) -> str:
    """A field that the source names, by its label."""
    return f'"{_label(match[1])}"' if match[1] in _LABELS else match[0]


def with_code(text: str) -> Markup:
    """The text with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped before


def _spelled(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)
