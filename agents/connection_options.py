"""Options of `strongroom-agent service add`: one for each field of a kind's connection, as its Struct describes it.

Imports every kind's connection and reads its source, which the running agent does without: imported where it is wanted.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import msgspec

from agents.drivers.kinds import Connection
from contracts.errors import InvalidInput

_PATH_ENDINGS: Final = ("file", "dir", "cert")


def add_connection_options(parser: argparse.ArgumentParser, kind: str) -> None:
    """One option a field of that kind's connection, with what its Struct says about it; without a kind, where to look."""
    kinds = _kinds()
    parser.add_argument("--kind", choices=sorted(kinds), required=True, help="what the service is; see --kind KIND --help")
    if kind not in kinds:
        return
    group = parser.add_argument_group(f"connection of a {kind} service")
    described = _field_docs(kinds[kind])
    for field in msgspec.structs.fields(kinds[kind]):
        container = _container(field)
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=f"connection_{field.name}",
            action="append" if container in (dict, list) else "store",
            metavar="NAME=VALUE" if container is dict else field.name.rpartition("_")[2].upper(),
            help=_help(field, described.get(field.name, "")) + ("; may be repeated" if container is list else ""),
        )


def kind_in(arguments: Sequence[str]) -> str:
    """The value of --kind, before anything is parsed: what else there may be depends on it."""
    for word, following in itertools.pairwise([*arguments, ""]):
        if word == "--kind":
            return following
        if word.startswith("--kind="):
            return word.removeprefix("--kind=")
    return ""


def connection_of(given: argparse.Namespace) -> dict[str, Any]:
    """What was given of the connection's fields; relative paths become absolute, since the agent runs elsewhere."""
    connection: dict[str, Any] = {"kind": given.kind}
    for field in msgspec.structs.fields(_kinds()[given.kind]):
        value = getattr(given, f"connection_{field.name}", None)
        if isinstance(value, list) and _container(field) is list:
            connection[field.name] = value
        elif isinstance(value, list):
            pairs = [text.partition("=") for text in value]
            if any(not (name and sign) for name, sign, _ in pairs):
                raise InvalidInput("input.invalid", f"--{field.name}: write NAME=VALUE", field=field.name)
            connection[field.name] = {name: text for name, _, text in pairs}
        elif value is not None:
            is_path = field.name.endswith(_PATH_ENDINGS) and value
            connection[field.name] = str(Path(value).expanduser().absolute()) if is_path else value
    return connection


def wrong_connection(words: str) -> InvalidInput:
    """The validation's sentence, with the option in place of the field."""
    message, _, where = words.partition(" - at ")
    missing = re.fullmatch(r"Object missing required field `(\w+)`", message)
    named = re.search(r"\$\.connection\.(\w+)", where)
    field = missing[1] if missing else named[1] if named else ""
    option = f"--{field.replace('_', '-')}"
    if missing:
        return InvalidInput("input.invalid", f"{option} is needed: see --help", field=field)
    if "matching regex" in message:
        message = "write it as SCHEME://HOST:PORT, with one of the schemes that this engine has and without a login"
    return InvalidInput("input.invalid", f"{option}: {message}" if field else message, field=field or None)


def _kinds() -> dict[str, type[msgspec.Struct]]:
    """The connection of each kind of engine, by the kind's name."""
    kinds: dict[str, type[msgspec.Struct]] = {}
    for struct in get_args(Connection):
        kinds[str(struct.__struct_config__.tag)] = struct
    return kinds


def _container(field: msgspec.structs.FieldInfo) -> type | None:
    """`list` or `dict`, bounded or not; None for a single value."""
    type_ = get_args(field.type)[0] if get_origin(field.type) is Annotated else field.type
    found = get_origin(type_)
    return found if found in (list, dict) else None


def _help(field: msgspec.structs.FieldInfo, described: str) -> str:
    words = [described.replace("%", "%%")]
    choices = [
        str(choice) for part in (field.type, *get_args(field.type)) for choice in get_args(part) if isinstance(choice, str)
    ]
    if choices and _container(field) is not dict:
        words.append(f"one of {', '.join(choices)}")
    if field.default not in (msgspec.NODEFAULT, None, ""):
        words.append(f"(default: {field.default})")
    elif field.required:
        words.append("(required)")
    return " ".join(word for word in words if word)


def _field_docs(struct: type[msgspec.Struct]) -> dict[str, str]:
    """The strings under the fields in the Struct's source: what is written once is not written again here."""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    except (OSError, SyntaxError, ValueError):
        return {}
    docs: dict[str, str] = {}
    body = getattr(definition, "body", [])
    for field, below in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value) if isinstance(below.value, ast.Constant) else ""
            docs[field.target.id] = " ".join(str(text).split())
    return docs
