"""Which PostgreSQL programs this host has, and which of them suits a server.

Only `bin_dir` when that is set: a setting that is silently passed over would be worse than an error.  Otherwise the
versioned directories of the distributions, then the `PATH` (where Debian has wrappers that choose a version themselves).

Of several versions the server's own is taken, else the next higher one: an archive can be read by no older pg_restore
than the pg_dump that wrote it, and may hold statements that an older server does not know.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.processes import Command, minimal_environment, run
from contracts.errors import RunFailed

_VERSIONED_DIRS: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
)
_VERSION: Final = re.compile(r"\(PostgreSQL\) ((\d+)[\w.]*)")
_VERSION_TIMEOUT_S: Final = 10.0
_SERVER_PROGRAMS: Final = frozenset({"initdb", "postgres", "pg_waldump"})
"""Of the server's package; all others are of the client's."""


@dataclass(frozen=True)
class Tool:
    """A program and the version it said it has."""

    name: str
    path: str
    version: str
    major: int


def find_psql(bin_dir: str) -> str:
    """The path of the newest psql: any version speaks to any server.  Raises: RunFailed `engine.tool_missing`."""
    return str(_candidates("psql", bin_dir)[0])


async def psql_version(bin_dir: str) -> str:
    """Of the psql that `find_psql` finds."""
    return (await _ask_version("psql", Path(find_psql(bin_dir)))).version


async def newest_tool(name: str, bin_dir: str) -> Tool:
    """The program in the newest version there is.  Raises: RunFailed `engine.tool_missing`."""
    return await _ask_version(name, _candidates(name, bin_dir)[0])


async def find_tool(name: str, bin_dir: str, *, at_least: int) -> Tool:
    """The program to use with a server (or an archive) of major version `at_least`.

    Raises: RunFailed `engine.tool_missing`, `engine.version_skew` when all are older.
    """
    tools: list[Tool] = []
    for path in sorted(_candidates(name, bin_dir), key=lambda path: not _is_of_version(path, at_least)):
        tools.append(await _ask_version(name, path))
        if tools[-1].major == at_least:
            return tools[-1]
    chosen = choose_tool(tools, at_least)
    if chosen is None:
        found = ", ".join(f"{tool.path} ({tool.version})" for tool in tools)
        raise RunFailed(
            "engine.version_skew",
            f"{name} {at_least} or newer is needed, but this host has only {found}: "
            f"install it with apt-get install {_package(name)}-{at_least}",
        )
    return chosen


def choose_tool(tools: Iterable[Tool], at_least: int) -> Tool | None:
    """The lowest version that is high enough; of equal ones the first."""
    suitable = [tool for tool in tools if tool.major >= at_least]
    return min(suitable, key=lambda tool: tool.major, default=None)


def major_of(version: str) -> int:
    """15 of `15.18 (Debian 15.18-0+deb12u1)`; 0 when there is no number."""
    found = re.match(r"\d+", version)
    return int(found[0]) if found else 0


def _candidates(name: str, bin_dir: str) -> list[Path]:
    """Paths of that program, newest directory first; at least one."""
    paths = (
        [Path(bin_dir) / name] if bin_dir else [directory / name for directory in _versioned_directories(_VERSIONED_DIRS)]
    )
    found = [path for path in paths if os.access(path, os.X_OK) and path.is_file()]
    if not bin_dir and (on_path := shutil.which(name, path=minimal_environment()["PATH"])):
        found.append(Path(on_path))
    if not found:
        where = f"in bin_dir {bin_dir}" if bin_dir else "on this host"
        raise RunFailed(
            "engine.tool_missing", f"the program {name} is not installed {where}: apt-get install {_package(name)}"
        )
    return found


def _package(program: str) -> str:
    """Debian's; with `-` and the major version, that version's."""
    return "postgresql" if program in _SERVER_PROGRAMS else "postgresql-client"


def _versioned_directories(patterns: Sequence[str]) -> list[Path]:
    found = {path for pattern in patterns for path in Path("/").glob(pattern.lstrip("/"))}
    return sorted(found, key=_version_in_path, reverse=True)


def _is_of_version(path: Path, major: int) -> bool:
    """By its name: whether to ask it first."""
    return major in _version_in_path(path)


def _version_in_path(path: Path) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", str(path)))


async def _ask_version(name: str, path: Path) -> Tool:
    try:
        finished = await run(Command(argv=[str(path), "--version"], package=_package(name)), timeout_s=_VERSION_TIMEOUT_S)
    except TimeoutError:
        raise RunFailed("engine.tool_missing", f"{path} --version did not end within {_VERSION_TIMEOUT_S:g} s") from None
    said = finished.stdout.decode(errors="replace")
    version = _VERSION.search(said)
    if not finished.status.ok or version is None:
        raise RunFailed(
            "engine.tool_missing",
            f"{path} does not say which version it is: reinstall {_package(name)}, or set bin_dir",
            detail=(said + finished.stderr)[:1000],
        )
    return Tool(name=name, path=str(path), version=version[1], major=int(version[2]))
