"""Programs that tests need.  A missing one fails the test with a sentence: a skipped test proves nothing."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Final

PACKAGES: Final = {
    "age": "age",
    "age-keygen": "age",
    "zstd": "zstd",
    "pg_dump": "postgresql-client",
    "pg_restore": "postgresql-client",
    "psql": "postgresql-client",
}


class ToolMissing(Exception):
    """A program is not installed."""


def tool(name: str) -> str:
    """The path of a program on the PATH.  Raises: ToolMissing saying what to install."""
    found = shutil.which(name)
    if found is None:
        package = PACKAGES.get(name, name)
        raise ToolMissing(f"{name} is not installed: run scripts/setup, or apt-get install {package}")
    return found


def pg_bin(name: str) -> str:
    """The path of a PostgreSQL program, from the newest server version installed, else from the PATH.

    Debian's wrappers on the PATH choose a version by the clusters they know, and server programs are not on it at all.
    Raises: ToolMissing saying what to install.
    """
    versions = sorted(
        (path for path in Path("/usr/lib/postgresql").glob("*/bin") if re.fullmatch(r"\d+", path.parent.name)),
        key=lambda path: int(path.parent.name),
        reverse=True,
    )
    for directory in versions:
        candidate = directory / name
        if os.access(candidate, os.X_OK):
            return str(candidate)
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(f"PostgreSQL's {name} is not installed: run scripts/setup, or apt-get install postgresql")
    return found
