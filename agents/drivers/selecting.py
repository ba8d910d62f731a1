"""Which of an engine's objects a backup takes, by the patterns of a service's options.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from contracts.errors import RunFailed

_PATTERN: Final = frozenset("*?[")


def select(
    names: Iterable[str], include: Sequence[str], exclude: Sequence[str], *, what: str
) -> tuple[list[str], list[str]]:
    """(names to back up, warnings): those that match any of `include`, or all if that is empty, and none of `exclude`.

    `what` is the engine's word for one of them, such as `collection`.  A pattern of `include` that matches nothing is a
    warning, since that may be so for a while.
    Raises: RunFailed `engine.database_not_found` for a name without wildcards that does not exist, so that a typing error
    does not go unnoticed until the day of the restore.
    """
    known = list(names)
    missing = [name for name in include if name not in known and not _PATTERN & set(name)]
    if missing:
        there_are = f"there are {', '.join(map(repr, known[:20]))}" if known else "there are none"
        raise RunFailed(
            "engine.database_not_found",
            f"the service includes {what} {missing[0]!r}, which does not exist ({there_are}): correct its --include",
        )
    chosen = [
        name
        for name in known
        if (not include or any(_matches(name, pattern) for pattern in include))
        and not any(_matches(name, pattern) for pattern in exclude)
    ]
    unmatched = [pattern for pattern in include if not any(_matches(name, pattern) for name in known)]
    return chosen, [f"no {what} matches --include {pattern!r}" for pattern in unmatched]


def _matches(name: str, pattern: str) -> bool:
    return name == pattern or fnmatchcase(name, pattern)
