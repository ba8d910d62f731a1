"""Which names a restore's databases may have here.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agents.drivers.postgresql.attributes import DATABASE_KIND, GLOBALS_KIND
from agents.drivers.postgresql.quoting import MAX_NAME_BYTES
from agents.drivers.renaming import UnfinishedNames, bad_rename, choose_databases
from contracts.records import ArtifactRecord, RestoreTarget

_TEMPLATES: Final = frozenset({"template0", "template1"})


def target_names(artifacts: Sequence[ArtifactRecord], target: RestoreTarget) -> dict[str, str]:
    """The database that each `database` artifact goes to, by artifact name.  Raises: InvalidInput `input.invalid`."""
    return choose_databases(
        artifacts,
        target,
        engine="PostgreSQL",
        kinds=(DATABASE_KIND, GLOBALS_KIND),
        database_kind=DATABASE_KIND,
        check=_check_name,
    )


def _check_name(name: str, new: str) -> None:
    if not new or "\0" in new:
        raise bad_rename(f"{new!r} cannot be the name of a database")
    if len(new.encode()) > MAX_NAME_BYTES:
        raise bad_rename(f"{new!r} is longer than the {MAX_NAME_BYTES} bytes that PostgreSQL allows")
    if new in _TEMPLATES:
        raise bad_rename(f"{name!r} cannot be restored as {new!r}, on which PostgreSQL depends: rename it")


def _first_bytes(name: str, count: int) -> str:
    """No character is cut in the middle."""
    return name.encode()[:count].decode(errors="ignore")


UNFINISHED_NAMES: Final = UnfinishedNames(MAX_NAME_BYTES, _first_bytes)
