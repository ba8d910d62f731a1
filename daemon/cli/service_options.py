"""The options of services as the command line spells them."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
import typer

from contracts.errors import InvalidInput
from contracts.services import PostgreSQLOptions, ServiceOptions

_KINDS: Final[dict[str, type[ServiceOptions]]] = {"postgresql": PostgreSQLOptions}

KindOption = Annotated[
    str, typer.Option("--kind", metavar="KIND", help=f"What it is: {' or '.join(_KINDS)}.", show_default=False)
]
NodesOption = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="NODE", help="A node whose agent can reach it. May be repeated.", show_default=False),
]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--include",
        metavar="PATTERN",
        help="A database to back up, `*`, `?` and `[…]` allowed; all without it. May be repeated.",
        show_default=False,
    ),
]
ExcludeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="PATTERN",
        help="A database to leave out; wins over --include. May be repeated.",
        show_default=False,
    ),
]
GlobalsOption = Annotated[
    bool | None,
    typer.Option("--globals/--no-globals", help="Whether roles and tablespaces are backed up too.", show_default=False),
]
LockTimeoutOption = Annotated[
    int | None,
    typer.Option(
        "--lock-timeout",
        metavar="SECONDS",
        min=1,
        max=86_400,
        help="How long a dump waits for its locks before it fails.",
        show_default=False,
    ),
]


def new_options(kind: str, **given: Any) -> ServiceOptions:
    """Options of that kind: the defaults, and what was given.  Raises: InvalidInput for an unknown kind."""
    type_ = _KINDS.get(kind)
    if type_ is None:
        raise InvalidInput("input.invalid", f"kind {kind!r} is unknown: it can be {', '.join(_KINDS)}", field="kind")
    return msgspec.structs.replace(type_(), **_fields(given))


def changed_options(options: ServiceOptions, **given: Any) -> ServiceOptions:
    """The options with what was given in place of what was there."""
    return msgspec.structs.replace(options, **_fields(given))


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    names = {"with_globals": "globals"}
    return {
        # An empty text empties a list: the shell has no other way to say it.
        names.get(name, name): [item for item in value if item] if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
