"""Which MariaDB programs this host has, and of which version they are.

Only `bin_dir` when that is set: a setting that is silently passed over would be worse than an error.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.processes import Command, minimal_environment, run
from contracts.errors import RunFailed

PACKAGES: Final = {
    "mariadb": "mariadb-client",
    "mariadb-dump": "mariadb-client",
    "mariadb-backup": "mariadb-backup",
    "mbstream": "mariadb-backup",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
_SERVER_DIRS: Final = "/usr/sbin:/usr/libexec:/usr/local/sbin"
"""Where the server's programs are, though an agent's PATH may lack it."""
_VERSION: Final = re.compile(r"((\d+\.\d+)\.\d+)-MariaDB", re.IGNORECASE)
_VERSION_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True)
class Tool:
    """A program and the version it said it has."""

    name: str
    path: str
    version: str
    """Such as `10.11.6`."""
    series: str
    """Such as `10.11`."""


def find_program(name: str, bin_dir: str) -> str:
    """Its path.  Raises: RunFailed `engine.tool_missing`."""
    if bin_dir:
        path = Path(bin_dir) / name
        found = str(path) if path.is_file() and os.access(path, os.X_OK) else None
    else:
        found = shutil.which(name, path=f"{minimal_environment()['PATH']}:{_SERVER_DIRS}")
    if found is None:
        where = f"in bin_dir {bin_dir}" if bin_dir else "on this host"
        raise RunFailed(
            "engine.tool_missing", f"the program {name} is not installed {where}: apt-get install {PACKAGES[name]}"
        )
    return found


async def find_tool(name: str, bin_dir: str) -> Tool:
    """The program with its version.  Raises: RunFailed `engine.tool_missing`."""
    path = find_program(name, bin_dir)
    try:
        finished = await run(
            Command(argv=[path, "--no-defaults", "--version"], package=PACKAGES[name]), timeout_s=_VERSION_TIMEOUT_S
        )
    except TimeoutError:
        raise RunFailed("engine.tool_missing", f"{path} --version did not end within {_VERSION_TIMEOUT_S:g} s") from None
    said = finished.stdout.decode(errors="replace") + finished.stderr
    version = _VERSION.search(said) or re.search(r"\b((\d+\.\d+)\.\d+)\b(?!.*\d+\.\d+\.\d+)", said, re.DOTALL)
    if version is None:
        raise RunFailed(
            "engine.tool_missing",
            f"{path} does not say which version it is: reinstall {PACKAGES[name]}, or set bin_dir",
            detail=said[:1000],
        )
    return Tool(name=name, path=path, version=version[1], series=version[2])


def series_of(version: str) -> tuple[int, int]:
    """(10, 11) of `10.11.6-MariaDB-log`; zeros when there are no numbers."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def require_same_series(tool: Tool, server_version: str, *, what: str = "the server is") -> None:
    """mariadb-backup reads the server's files, whose form differs from one series to the next.

    Raises: RunFailed `engine.version_skew`.
    """
    if series_of(tool.version) != series_of(server_version):
        series = ".".join(map(str, series_of(server_version)))
        raise RunFailed(
            "engine.version_skew",
            f"{tool.path} is of version {tool.version}, but {what} {server_version}: install mariadb-backup {series} "
            "on this host, or set bin_dir to where it is",
        )


def require_not_older(tool: Tool, server_version: str) -> None:
    """Raises: RunFailed `engine.version_skew`: an older mariadb-dump does not know all that a newer server has."""
    if series_of(tool.version) < series_of(server_version):
        series = ".".join(map(str, series_of(server_version)))
        raise RunFailed(
            "engine.version_skew",
            f"{tool.path} is of version {tool.version}, older than the server ({server_version}): install "
            f"{PACKAGES[tool.name]} {series} on this host, or set bin_dir to where it is",
        )
