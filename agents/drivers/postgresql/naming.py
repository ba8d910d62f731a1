"""Names of what a restore makes: where it goes in the end, and what it is called until then.  Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from agents.drivers.postgresql.attributes import DATABASE_KIND, GLOBALS_KIND
from agents.drivers.postgresql.quoting import MAX_NAME_BYTES
from contracts.errors import InvalidInput
from contracts.records import ArtifactRecord, RestoreTarget

RESTORING: Final = "__restoring_"
REPLACED: Final = "__replaced_"
_TEMPLATES: Final = frozenset({"template0", "template1"})
_DIGEST_CHARS: Final = 6
_SUFFIX_CHARS: Final = 20
"""Of a run id's letters and digits, which are that many."""


def target_names(artifacts: Sequence[ArtifactRecord], target: RestoreTarget) -> dict[str, str]:
    """The database that each `database` artifact goes to, by artifact name.

    Raises: InvalidInput `input.invalid` for names in `rename` that are not among the artifacts, for new names that cannot
    be, and for two artifacts that would go to the same database.
    """
    for artifact in artifacts:
        if artifact.kind not in (DATABASE_KIND, GLOBALS_KIND):
            raise _invalid(
                f"artifact {artifact.name!r} is of the kind {artifact.kind!r}, not of a PostgreSQL backup", "artifacts"
            )
    databases = [artifact.name for artifact in artifacts if artifact.kind == DATABASE_KIND]
    for name in target.rename:
        if name not in databases:
            known = ", ".join(map(repr, databases)) or "none"
            raise _invalid(f"rename: no database {name!r} is to be restored (there are: {known})", "rename")
    names = {name: target.rename.get(name, name) for name in databases}
    for name, new in names.items():
        _check_name(name, new)
    for new in names.values():
        sources = [name for name, other in names.items() if other == new]
        if len(sources) > 1:
            raise _invalid(f"rename: {' and '.join(map(repr, sources))} would both be restored as {new!r}", "rename")
    return names


def scratch_name(target: str, run_id: str) -> str:
    """What the database is called while it is being restored: never longer than the server allows."""
    return scratch_prefix(target) + _suffix(run_id)


def scratch_prefix(target: str) -> str:
    """What the names of all restores to this target begin with, and of no other target's."""
    return _shortened(target, RESTORING) + RESTORING


def replaced_name(target: str, run_id: str) -> str:
    """What the old database is called between the moment it is replaced and the moment it is dropped."""
    return _shortened(target, REPLACED) + REPLACED + _suffix(run_id)


def _suffix(run_id: str) -> str:
    return "".join(character for character in run_id.lower() if character.isalnum())[:_SUFFIX_CHARS]


def _shortened(target: str, infix: str) -> str:
    room = MAX_NAME_BYTES - len(infix) - _SUFFIX_CHARS
    encoded = target.encode()
    if len(encoded) <= room:
        return target
    # A digest, so that names which begin alike do not become the same; no character is cut in the middle.
    digest = hashlib.sha256(encoded).hexdigest()[:_DIGEST_CHARS]
    return encoded[: room - _DIGEST_CHARS - 1].decode(errors="ignore") + "_" + digest


def _check_name(name: str, new: str) -> None:
    if not new or "\0" in new:
        raise _invalid(f"rename: {new!r} cannot be the name of a database", "rename")
    if len(new.encode()) > MAX_NAME_BYTES:
        raise _invalid(f"rename: {new!r} is longer than the {MAX_NAME_BYTES} bytes that PostgreSQL allows", "rename")
    if new in _TEMPLATES:
        raise _invalid(f"rename: {name!r} cannot be restored as {new!r}, on which PostgreSQL depends: rename it", "rename")


def _invalid(message: str, field: str) -> InvalidInput:
    return InvalidInput("input.invalid", message, field=field)
