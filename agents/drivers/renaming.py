"""Names of the databases that a restore makes: where they go in the end, and what they are called until then.  Pure.

For engines whose artifacts are databases, in which one that is not whole yet lies beside its target.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.errors import InvalidInput
from contracts.records import ArtifactRecord, RestoreTarget

RESTORING: Final = "__restoring_"
REPLACED: Final = "__replaced_"
_DIGEST_CHARS: Final = 6
_SUFFIX_CHARS: Final = 20
"""Of a run id's letters and digits, which are that many."""


def choose_databases(
    artifacts: Sequence[ArtifactRecord],
    target: RestoreTarget,
    *,
    engine: str,
    kinds: Collection[str],
    database_kind: str,
    check: Callable[[str, str], None],
    lower_case: bool = False,
) -> dict[str, str]:
    """The database that each artifact of `database_kind` goes to, by artifact name.

    `check` is given an artifact's name and its new one, and raises when that cannot be.  `lower_case`: the server does not
    tell `Orders` from `orders`, and keeps all names in lower case.
    Raises: InvalidInput `input.invalid` for artifacts of other `kinds`, for names in `rename` that are not among the
    databases, and for two artifacts that would go to the same one.
    """
    for artifact in artifacts:
        if artifact.kind not in kinds:
            what = f"artifact {artifact.name!r} is of the kind {artifact.kind!r}, not of a {engine} backup"
            raise InvalidInput("input.invalid", what, field="artifacts")
    databases = [artifact.name for artifact in artifacts if artifact.kind == database_kind]
    for name in target.rename:
        if name not in databases:
            known = ", ".join(map(repr, databases)) or "none"
            raise bad_rename(f"no database {name!r} is to be restored (there are: {known})")
    names = {name: target.rename.get(name, name) for name in databases}
    for name, new in names.items():
        check(name, new)
    if lower_case:
        names = {name: new.lower() for name, new in names.items()}
    taken: dict[str, str] = {}
    for name, new in names.items():
        if (other := taken.setdefault(new, name)) != name:
            raise bad_rename(f"{other!r} and {name!r} would both be restored as {new!r}")
    return names


def bad_rename(message: str) -> InvalidInput:
    return InvalidInput("input.invalid", f"rename: {message}", field="rename")


@dataclass(frozen=True)
class UnfinishedNames:
    """Names that say what they are, and whose, to a person who finds them: never longer than the server allows."""

    longest: int
    """In characters or bytes, as `cut` counts them."""
    cut: Callable[[str, int], str]
    """As much of a name's beginning as fits into that many."""

    def scratch(self, target: str, run_id: str) -> str:
        """What the database is called while it is being restored."""
        return self.prefix(target, RESTORING) + _suffix(run_id)

    def replaced(self, target: str, run_id: str) -> str:
        """What holds the old content between the moment it is replaced and the moment it is dropped."""
        return self.prefix(target, REPLACED) + _suffix(run_id)

    def prefix(self, target: str, infix: str) -> str:
        """What such names of all restores to this target begin with, and of no other target's."""
        room = self.longest - len(infix) - _SUFFIX_CHARS
        if self.cut(target, room) == target:
            return target + infix
        # A digest, so that names which begin alike do not become the same.
        digest = hashlib.sha256(target.encode()).hexdigest()[:_DIGEST_CHARS]
        return f"{self.cut(target, room - _DIGEST_CHARS - 1)}_{digest}{infix}"


def _suffix(run_id: str) -> str:
    return "".join(character for character in run_id.lower() if character.isalnum())[:_SUFFIX_CHARS]
