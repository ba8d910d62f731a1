"""What can be backed up: one options Struct per kind of service, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated

import msgspec


class PostgreSQLOptions(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="postgresql"):
    """A PostgreSQL cluster: one artifact per database, and one for roles and tablespaces."""

    include: list[str] = []
    """Databases to back up, shell patterns (`*`, `?`, `[…]`) allowed.  Empty: all but templates."""
    exclude: list[str] = []
    """Databases to leave out, shell patterns allowed; wins over `include`."""
    globals: bool = True
    """Whether roles and tablespaces are backed up as an artifact of their own."""
    lock_timeout_s: Annotated[int, msgspec.Meta(ge=1, le=86400)] = 30
    """How long a dump waits for its share locks before it fails."""


ServiceOptions = PostgreSQLOptions
"""The union of all kinds; a tagged union as soon as there are two."""


def kind_of(options: ServiceOptions) -> str:
    """The kind's name, such as `postgresql`."""
    tag = options.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
