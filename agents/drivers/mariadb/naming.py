"""Names of what a restore makes: where it goes in the end, and what it is called until then.  Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from agents.drivers.mariadb.attributes import DATABASE_KIND, KINDS
from agents.drivers.mariadb.inventory import SYSTEM_DATABASES
from agents.drivers.mariadb.quoting import MAX_NAME_CHARS
from contracts.errors import InvalidInput
from contracts.records import ArtifactRecord, RestoreTarget

RESTORING: Final = "__restoring_"
REPLACED: Final = "__replaced_"
_DIGEST_CHARS: Final = 6
_SUFFIX_CHARS: Final = 20
"""Of a run id's letters and digits, which are that many."""


def target_names(artifacts: Sequence[ArtifactRecord], target: RestoreTarget, *, lower_case: bool = False) -> dict[str, str]:
    """The database that each `database` artifact goes to, by artifact name.

    `lower_case`: the server does not tell `Orders` from `orders`, and keeps all names in lower case.
    Raises: InvalidInput `input.invalid` for names in `rename` that are not among the databases, for new names that cannot
    be, and for two artifacts that would go to the same database.
    """
    for artifact in artifacts:
        if artifact.kind not in KINDS:
            raise _invalid(
                f"artifact {artifact.name!r} is of the kind {artifact.kind!r}, not of a MariaDB backup", "artifacts"
            )
    databases = [artifact.name for artifact in artifacts if artifact.kind == DATABASE_KIND]
    for name in target.rename:
        if name not in databases:
            known = ", ".join(map(repr, databases)) or "none"
            raise _invalid(f"rename: no database {name!r} is to be restored (there are: {known})", "rename")
    names = {name: target.rename.get(name, name) for name in databases}
    for name, new in names.items():
        _check_name(name, new)
    if lower_case:
        names = {name: new.lower() for name, new in names.items()}
    taken: dict[str, str] = {}
    for name, new in names.items():
        if new in taken:
            raise _invalid(f"rename: {taken[new]!r} and {name!r} would both be restored as {new!r}", "rename")
        taken[new] = name
    return names


def scratch_name(target: str, run_id: str) -> str:
    """What the database is called while it is being restored: never longer than the server allows."""
    return prefix_of(target, RESTORING) + _suffix(run_id)


def replaced_name(target: str, run_id: str) -> str:
    """What holds the old tables between the moment they are replaced and the moment they are dropped."""
    return prefix_of(target, REPLACED) + _suffix(run_id)


def prefix_of(target: str, infix: str) -> str:
    """What the names of all restores to this target begin with, and of no other target's."""
    return _shortened(target, infix) + infix


def _suffix(run_id: str) -> str:
    return "".join(character for character in run_id.lower() if character.isalnum())[:_SUFFIX_CHARS]


def _shortened(target: str, infix: str) -> str:
    room = MAX_NAME_CHARS - len(infix) - _SUFFIX_CHARS
    if len(target) <= room:
        return target
    # A digest, so that names which begin alike do not become the same.
    digest = hashlib.sha256(target.encode()).hexdigest()[:_DIGEST_CHARS]
    return target[: room - _DIGEST_CHARS - 1] + "_" + digest


def _check_name(name: str, new: str) -> None:
    if not new or "\0" in new or new.endswith(" ") or any(ord(character) > 0xFFFF for character in new):
        raise _invalid(f"rename: {new!r} cannot be the name of a database", "rename")
    if len(new) > MAX_NAME_CHARS:
        raise _invalid(f"rename: {new!r} is longer than the {MAX_NAME_CHARS} characters that MariaDB allows", "rename")
    if new.lower() in SYSTEM_DATABASES:
        raise _invalid(f"rename: {name!r} cannot be restored as {new!r}, which is the server's own: rename it", "rename")


def _invalid(message: str, field: str) -> InvalidInput:
    return InvalidInput("input.invalid", message, field=field)
