"""A server's data directory on this host: whether we may read it, how large it is, whose it is, and whether it is in use."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.errors import RunFailed

_NOT_COPIED: Final = ("ib_logfile", "ib_buffer_pool", "ibtmp")
_SERVER_USER: Final = "mysql"


@dataclass(frozen=True)
class Datadir:
    size_bytes: int
    """Of what mariadb-backup copies."""
    uid: int
    gid: int


async def look_at_datadir(path: Path) -> Datadir:
    """Raises: RunFailed `engine.permission` when it cannot be read here, as from another host."""
    return await asyncio.to_thread(_look, path)


def _look(path: Path) -> Datadir:
    try:
        status = path.stat()
        system = path / "ibdata1"
        readable = os.access(path, os.R_OK | os.X_OK) and (not system.exists() or os.access(system, os.R_OK))
    except OSError:
        readable = False
        status = None
    if not readable or status is None:
        user = _user_name(os.geteuid())
        raise RunFailed(
            "engine.permission",
            f"the agent (user {user}) cannot read the server's data directory {path}: a physical backup needs an agent on "
            "the server's own host that runs as root or as the server's user; else set method to logical",
        )
    return Datadir(size_bytes=_size_bytes(path), uid=status.st_uid, gid=status.st_gid)


def _size_bytes(path: Path) -> int:
    total = 0
    for folder, _, files in os.walk(path, onerror=lambda _: None):
        inside = folder != str(path)
        for name in files:
            # At the top are binary logs and relay logs as well, under any name; they are not copied.
            if (inside or name.startswith(("ibdata", "undo", "aria_log"))) and not name.startswith(_NOT_COPIED):
                try:
                    total += (Path(folder) / name).lstat().st_size
                except OSError:
                    continue  # a table that is being dropped
    return total


def require_unused(directory: Path) -> None:
    """Raises: RunFailed `restore.failed` when a server runs on that directory."""
    for name in ("ibdata1", "aria_log_control"):
        try:
            with (directory / name).open("r+b") as file:
                # The lock that every server holds as long as it runs.
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            continue
        except BlockingIOError:
            raise RunFailed(
                "restore.failed", f"a MariaDB server runs on {directory}: stop it before its data are replaced"
            ) from None
        except OSError as exc:
            raise RunFailed("restore.failed", f"{directory / name} cannot be opened: {exc.strerror}") from exc


def owner_for(directory: Path, datadir: Datadir | None) -> tuple[int, int] | None:
    """(uid, gid) that restored files shall have: those of what is replaced, else of the present data directory, else of
    the user `mysql`; None when we are not root and cannot choose, or nobody is known."""
    if os.geteuid() != 0:
        return None
    try:
        status = directory.stat()
        if status.st_uid != 0:
            return status.st_uid, status.st_gid
    except OSError:
        pass
    if datadir is not None and datadir.uid != 0:
        return datadir.uid, datadir.gid
    try:
        user = pwd.getpwnam(_SERVER_USER)
    except KeyError:
        return None
    return user.pw_uid, user.pw_gid


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
