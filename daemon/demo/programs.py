"""The programs of other projects that the demo runs: found all at once, or named all at once."""

from __future__ import annotations

import os
import pwd
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.errors import RunFailed

SERVER_VERSIONS: Final = Path("/usr/lib/postgresql")
"""Where Debian and its kin keep the programs of each PostgreSQL version."""
_SERVER_PROGRAMS: Final = ("initdb", "postgres", "psql", "pg_dump", "pg_restore")
_PACKAGES: Final = {
    "initdb": "postgresql",
    "postgres": "postgresql",
    "psql": "postgresql-client",
    "pg_dump": "postgresql-client",
    "pg_restore": "postgresql-client",
    "age": "age",
    "zstd": "zstd",
    "setpriv": "util-linux",
}
_SERVER_USERS: Final = ("postgres", "nobody")


@dataclass(frozen=True, kw_only=True)
class ServerUser:
    """Whom PostgreSQL runs as when the demo is run by root, which PostgreSQL refuses."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Programs:
    """Absolute paths; the PostgreSQL programs are all of one version, the newest there is."""

    initdb: str
    postgres: str
    psql: str
    pg_dump: str
    pg_restore: str
    age: str
    zstd: str
    setpriv: str = ""
    server_user: ServerUser | None = None
    """None to stay who we are."""

    def as_server_user(self) -> list[str]:
        """The words before a command that has to run as the server's user.

        The command gets QUIT when the demo dies, upon which the postmaster ends its children and frees its shared memory.
        A change of user clears such a request, so it has to come after that.
        """
        if not self.setpriv:
            return []
        user = self.server_user
        become = [f"--reuid={user.uid}", f"--regid={user.gid}", "--clear-groups"] if user is not None else []
        return [self.setpriv, *become, "--pdeathsig=QUIT", "--"]


def find_programs(*, versions_dir: Path = SERVER_VERSIONS, path: str | None = None, as_root: bool | None = None) -> Programs:
    """All the programs.  `path` replaces the PATH, `as_root` says whether the demo has root's rights (default: ask).

    Raises: RunFailed `engine.tool_missing`, a sentence that names everything that is missing and how to get it.
    """
    root = os.geteuid() == 0 if as_root is None else as_root
    found: dict[str, str | None] = _postgresql(versions_dir, path)
    for name in ("age", "zstd", *(["setpriv"] if root else [])):
        found[name] = shutil.which(name, path=path)
    missing = [name for name, program in found.items() if program is None]
    if missing:
        raise RunFailed("engine.tool_missing", _sentence(missing))
    programs = {name: program for name, program in found.items() if program is not None}
    programs["setpriv"] = shutil.which("setpriv", path=path) or ""
    return Programs(**programs, server_user=_server_user() if root else None)


def _postgresql(versions_dir: Path, path: str | None) -> dict[str, str | None]:
    """From the newest version's directory that has them all, else from the PATH.

    Debian's wrappers on the PATH choose a version by the clusters they know, and the server programs are not on it at all.
    """
    versions = [one for one in versions_dir.glob("*/bin") if re.fullmatch(r"\d+", one.parent.name)]
    for directory in sorted(versions, key=lambda one: int(one.parent.name), reverse=True):
        if all(os.access(directory / name, os.X_OK) for name in _SERVER_PROGRAMS):
            return {name: str(directory / name) for name in _SERVER_PROGRAMS}
    return {name: shutil.which(name, path=path) for name in _SERVER_PROGRAMS}


def _sentence(missing: Iterable[str]) -> str:
    names = list(missing)
    packages = sorted({_PACKAGES[name] for name in names})
    verb = "is" if len(names) == 1 else "are"
    return f"{', '.join(names)} {verb} not installed: apt-get install {' '.join(packages)}"


def _server_user() -> ServerUser:
    for name in _SERVER_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(name=name, uid=entry.pw_uid, gid=entry.pw_gid)
    raise RunFailed(
        "engine.tool_missing",
        f"PostgreSQL refuses to run as root, and this host has none of the users {', '.join(_SERVER_USERS)}: "
        "run the demo as another user, or apt-get install postgresql",
    )
