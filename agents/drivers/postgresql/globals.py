"""Which parts of pg_dumpall's globals a restore applies: pure.

A role that the target has keeps everything as it is there: its password, its attributes, its memberships.  A role that is
missing is created with all of that.  Tablespaces are directories of a host; they are an administrator's to make.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from agents.drivers.postgresql.statements import Statement, find_keywords, render, split_statements, starts_with

_DEFAULTS_OF_A_NEW_ROLE: Final = frozenset({"NOSUPERUSER", "NOREPLICATION", "NOBYPASSRLS"})
"""A new role has them without being told, and only a superuser may even mention them."""
_SHOWN: Final = 10


@dataclass(frozen=True, kw_only=True)
class GlobalsPlan:
    """What to run, in one transaction, and what to tell."""

    statements: list[str]
    created: list[str]
    kept: list[str]
    """Roles of the dump that the target has already."""
    warnings: list[str]


def plan_globals(
    script: str, *, existing_roles: Iterable[str], existing_tablespaces: Iterable[str], superuser: bool
) -> GlobalsPlan:
    """Raises: ValueError for a script that is not what pg_dumpall writes."""
    statements = list(split_statements(script))
    existing, tablespaces = set(existing_roles), set(existing_tablespaces)
    named = [_name(statement, 2) for statement in statements if starts_with(statement, "CREATE", "ROLE")]
    new = [name for name in named if name not in existing]
    kept_grants = [_kept_as_it_is(statement, set(new)) for statement in statements]
    missing = [
        _name(statement, 2)
        for statement in statements
        if starts_with(statement, "CREATE", "TABLESPACE") and _name(statement, 2) not in tablespaces
    ]
    return GlobalsPlan(
        statements=[render(cleaned) for statement in statements if (cleaned := _for_new(statement, set(new), superuser))],
        created=new,
        kept=[name for name in named if name in existing],
        warnings=[*_warn_of_grants([grant for grant in kept_grants if grant]), *_warn_of_tablespaces(missing)],
    )


def _for_new(statement: Statement, new: set[str], superuser: bool) -> Statement:
    """The statement as it is to be run, or nothing when it is not about a new role."""
    subject = _subject(statement)
    if subject is None or subject not in new:
        return []
    if starts_with(statement, "ALTER", "ROLE"):
        with_options = len(statement) > 3 and statement[3].keyword == "WITH"
        return [token for token in statement if not (with_options and token.keyword in _DEFAULTS_OF_A_NEW_ROLE)]
    if starts_with(statement, "GRANT"):
        return _without_foreign_grantor(statement, new, superuser)
    return statement


def _subject(statement: Statement) -> str | None:
    """The role that the statement changes, if it is one of those that a restore may run."""
    if starts_with(statement, "CREATE", "ROLE"):
        return _name(statement, 2)
    if starts_with(statement, "ALTER", "ROLE"):
        return _name(statement, 2) if find_keywords(statement, "IN", "DATABASE") < 0 else None
    if starts_with(statement, "COMMENT", "ON", "ROLE"):
        return _name(statement, 3)
    if starts_with(statement, "SECURITY", "LABEL"):
        on = find_keywords(statement, "ON", "ROLE")
        return _name(statement, on + 2) if on >= 0 else None
    if starts_with(statement, "GRANT") and (_is_membership(statement) or find_keywords(statement, "ON", "PARAMETER") >= 0):
        return _name(statement, find_keywords(statement, "TO") + 1)
    return None


def _is_membership(statement: Statement) -> bool:
    """`GRANT role TO member …`"""
    return starts_with(statement, "GRANT") and len(statement) > 2 and statement[2].keyword == "TO"


def _kept_as_it_is(statement: Statement, new: set[str]) -> str:
    """In words, a membership in a new role that an existing one does not get; empty for anything else."""
    if not _is_membership(statement):
        return ""
    granted, member = _name(statement, 1), _name(statement, 3)
    return f"{granted} to {member}" if granted in new and member not in new else ""


def _without_foreign_grantor(statement: Statement, new: set[str], superuser: bool) -> Statement:
    """Whoever restores becomes the grantor, unless the grantor is restored too and may be named."""
    by = find_keywords(statement, "GRANTED", "BY")
    if by < 0 or (superuser and _name(statement, by + 2) in new):
        return statement
    return statement[:by]


def _name(statement: Statement, index: int) -> str:
    name = statement[index].name if 0 <= index < len(statement) else None
    if name is None:
        raise ValueError(f"no name where one should be in: {render(statement[:4])} …")
    return name


def _warn_of_grants(grants: Sequence[str]) -> list[str]:
    if not grants:
        return []
    return [f"existing roles are not changed, so these memberships were left out: {_shorten(grants)}"]


def _warn_of_tablespaces(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    what = f"the target lacks tablespaces, which a restore does not make: {_shorten(names)}"
    return [f"{what}; what lay in them goes to the default one unless they are created before"]


def _shorten(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more
