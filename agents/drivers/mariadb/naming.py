"""Which names a restore's databases may have here.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from agents.drivers.mariadb.attributes import DATABASE_KIND, KINDS
from agents.drivers.mariadb.inventory import SYSTEM_DATABASES
from agents.drivers.mariadb.quoting import MAX_NAME_CHARS
from agents.drivers.renaming import UnfinishedNames, bad_rename, choose_databases
from contracts.records import ArtifactRecord, RestoreTarget

UNFINISHED_NAMES: Final = UnfinishedNames(MAX_NAME_CHARS, lambda name, count: name[:count])


def target_names(artifacts: Sequence[ArtifactRecord], target: RestoreTarget, *, lower_case: bool = False) -> dict[str, str]:
    """The database that each `database` artifact goes to, by artifact name.

    `lower_case`: see `choose_databases`.  Raises: InvalidInput `input.invalid`.
    """
    return choose_databases(
        artifacts,
        target,
        engine="MariaDB",
        kinds=KINDS,
        database_kind=DATABASE_KIND,
        check=_check_name,
        lower_case=lower_case,
    )


def _check_name(name: str, new: str) -> None:
    if not new or "\0" in new or new.endswith(" ") or any(ord(character) > 0xFFFF for character in new):
        raise bad_rename(f"{new!r} cannot be the name of a database")
    if len(new) > MAX_NAME_CHARS:
        raise bad_rename(f"{new!r} is longer than the {MAX_NAME_CHARS} characters that MariaDB allows")
    if new.lower() in SYSTEM_DATABASES:
        raise bad_rename(f"{name!r} cannot be restored as {new!r}, which is the server's own: rename it")
