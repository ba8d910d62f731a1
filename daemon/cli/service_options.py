"""The options of services as the command line spells them: every kind's, in panels of their own."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import typer

from contracts.errors import InvalidInput
from contracts.services import OPTIONS_BY_KIND, ServiceOptions, kind_of

NodesOption = Annotated[
    list[str] | None,
    typer.Option("--node", metavar="NODE", help="A node whose agent can reach it. May be repeated.", show_default=False),
]

_ABOUT: Final = {
    "postgresql": ("PostgreSQL", "databases by pg_dump, or the whole cluster by pg_basebackup"),
    "mariadb": ("MariaDB", "the whole server by mariadb-backup, or databases by mariadb-dump"),
    "qdrant": ("Qdrant", "a snapshot of each collection, and the aliases"),
    "elasticsearch": ("Elasticsearch and OpenSearch", "documents, mappings, settings and aliases of each index"),
    "nats": ("NATS", "JetStream streams, among them KV and object buckets"),
    "meilisearch": ("Meilisearch", "one dump of all indexes, settings and keys"),
    "shared-storage": ("Shared storage", "a directory tree, as a tar archive"),
}
"""A title and half a sentence about each kind."""
_SEVERAL: Final = "Several kinds"


@dataclass(frozen=True)
class _Flag:
    """A field of some options Structs, as a flag."""

    field: str
    flags: str
    help: str
    type: Any
    metavar: str | None = None

    @property
    def name(self) -> str:
        """Of the command's parameter: no Python word."""
        return f"option_{self.field}"

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, options in OPTIONS_BY_KIND.items() if self.field in options.__struct_fields__]


_FLAGS: Final = (
    _Flag(
        "include",
        "--include",
        "A database, collection, index or stream to back up, `*`, `?` and `[…]` allowed; all without it. May be repeated.",
        list[str] | None,
        "PATTERN",
    ),
    _Flag(
        "exclude",
        "--exclude",
        "One to leave out, or a path of a directory tree; wins over --include. May be repeated.",
        list[str] | None,
        "PATTERN",
    ),
    _Flag(
        "method",
        "--method",
        "postgresql, mariadb: `logical` restores into a running server, `physical` restores a whole data directory.",
        str | None,
        "logical|physical",
    ),
    _Flag("parallel", "--parallel", "How many artifacts are read at once, 1 to 32.", int | None, "N"),
    _Flag("globals", "--globals/--no-globals", "Whether roles and tablespaces are backed up too.", bool | None),
    _Flag("lock_timeout_s", "--lock-timeout", "How long a dump waits for its locks before it fails.", int | None, "SECONDS"),
    _Flag("users", "--users/--no-users", "Whether accounts and grants are an artifact of their own too.", bool | None),
    _Flag(
        "cluster_metadata",
        "--cluster-metadata/--no-cluster-metadata",
        "Whether templates, ingest pipelines and policies are backed up too.",
        bool | None,
    ),
    _Flag("slices", "--slices", "How many requests read an index at once, 1 to 16.", int | None, "N"),
    _Flag("consumers", "--consumers/--no-consumers", "Whether durable consumers go with their streams.", bool | None),
    _Flag("timeout_s", "--dump-timeout", "How long the instance may take to make its dump.", int | None, "SECONDS"),
    _Flag(
        "one_file_system",
        "--one-file-system/--all-file-systems",
        "Whether file systems mounted below the tree are left out.",
        bool | None,
    ),
    _Flag(
        "changed_limit",
        "--changed-limit",
        "A run fails when more files than this changed while they were read; fewer are warnings.",
        int | None,
        "N",
    ),
)


def _kinds_help() -> str:
    width = max(map(len, OPTIONS_BY_KIND))
    lines = [f"{kind:<{width}}  {_ABOUT[kind][1]}: {_flags_of(kind)}" for kind in OPTIONS_BY_KIND]
    return "\n".join(["What it is, and the options that it takes.", *lines])


def _flags_of(kind: str) -> str:
    return " ".join(_spelled(flag) for flag in _FLAGS if kind in flag.kinds)


def _spelled(flag: _Flag) -> str:
    return flag.flags.partition("/")[0]


KindOption = Annotated[str, typer.Option("--kind", metavar="KIND", help=_kinds_help(), show_default=False)]


def kind_parameters() -> list[inspect.Parameter]:
    """Of a command that takes the options of any kind: one each, to be handed to `new_options` or `changed_options`."""
    by_kind = sorted(_FLAGS, key=lambda flag: (len(flag.kinds) == 1, list(OPTIONS_BY_KIND).index(flag.kinds[0])))
    return [
        inspect.Parameter(flag.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(flag))
        for flag in by_kind
    ]


def new_options(kind: str, given: Mapping[str, Any]) -> ServiceOptions:
    """Options of that kind: the defaults, and what was given.  Raises: InvalidInput."""
    options = OPTIONS_BY_KIND.get(kind)
    if options is None:
        raise InvalidInput(
            "input.invalid", f"kind {kind!r} is unknown: it can be {', '.join(OPTIONS_BY_KIND)}", field="kind"
        )
    return changed_options(options(), given)


def changed_options(options: ServiceOptions, given: Mapping[str, Any]) -> ServiceOptions:
    """The options with what was given in place of what was there.

    Raises: InvalidInput `input.invalid` for an option of another kind, and for a value that is not allowed.
    """
    document: dict[str, Any] = msgspec.to_builtins(options)
    for flag in _FLAGS:
        value = given.get(flag.name)
        if value is None:
            continue
        if flag.field not in document:
            raise InvalidInput(
                "input.invalid",
                f"{_spelled(flag)} is for {' and '.join(flag.kinds)} services, and this one is {kind_of(options)}",
                field=flag.field,
            )
        # An empty text empties a list: the shell has no other way to say it.
        document[flag.field] = [item for item in value if item] if isinstance(value, list) else value
    try:
        return msgspec.convert(document, type(options))
    except msgspec.ValidationError as exc:
        message, _, where = str(exc).partition(" - at `$.")
        field = where.rstrip("`") or None
        spelled = [_spelled(flag) for flag in _FLAGS if flag.field == field]
        raise InvalidInput("input.invalid", ": ".join([*spelled, message]), field=field) from exc


def _annotation(flag: _Flag) -> Any:
    panel = _ABOUT[flag.kinds[0]][0] if len(flag.kinds) == 1 else _SEVERAL
    option = typer.Option(flag.flags, metavar=flag.metavar, help=flag.help, show_default=False, rich_help_panel=panel)
    return Annotated[flag.type, option]
