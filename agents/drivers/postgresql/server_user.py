"""Whom PostgreSQL's server programs run as: they refuse root, and own a data directory or do not start."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.errors import RunFailed

_USERS: Final = ("postgres", "nobody")
"""Whom root becomes, the first of them that this host has."""


@dataclass(frozen=True)
class ServerUser:
    """Who owns a data directory."""

    name: str
    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        return self.uid == os.geteuid()

    def give(self, path: Path | int) -> None:
        """Makes the user the owner of a file, or of what a descriptor stands for."""
        if not self.is_us:
            os.chown(path, self.uid, self.gid)

    def argv(self, command: Sequence[str], *, death_signal: str = "KILL") -> list[str]:
        """The command, to be run as this user.  It gets `death_signal` when its parent dies.

        A change of user clears such a request, so it is made anew after that.
        """
        become = [] if self.is_us else [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            if self.is_us:
                return list(command)
            raise RunFailed(
                "engine.tool_missing", "the program setpriv is not installed: install it with apt-get install util-linux"
            )
        return [setpriv, *become, f"--pdeathsig={death_signal}", "--", *command]


def server_user(*places: Path) -> ServerUser:
    """Who we are; for root the owner of the first of these places that is not root's, else a user made for servers.

    Raises: RunFailed `engine.permission` when root has nobody to become.
    """
    if os.geteuid() != 0:
        return _of_uid(os.geteuid(), os.getegid())
    for place in places:
        try:
            status = place.stat()
        except OSError:
            continue
        if status.st_uid != 0:
            return _of_uid(status.st_uid, status.st_gid)
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(name, entry.pw_uid, entry.pw_gid)
    raise RunFailed(
        "engine.permission",
        f"PostgreSQL refuses to run as root, and this host has none of the users {', '.join(_USERS)}: create the user "
        "postgres, or run the agent as another user",
    )


def _of_uid(uid: int, gid: int) -> ServerUser:
    try:
        return ServerUser(pwd.getpwuid(uid).pw_name, uid, gid)
    except KeyError:
        return ServerUser(str(uid), uid, gid)


def passed_path(fd: int) -> str:
    """A path that leads a program which inherits this descriptor of a directory there.

    It works also where the user that the program runs as may not pass the directories above, and is always short.
    """
    return f"/proc/self/fd/{fd}"


@contextmanager
def passed_directory(path: Path) -> Iterator[tuple[str, int]]:
    """The path that leads a program to the directory, and the descriptor it has to inherit for that.

    Raises: RunFailed `restore.failed`.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise RunFailed("restore.failed", f"{path} cannot be opened: {exc.strerror}") from exc
    try:
        yield passed_path(fd), fd
    finally:
        os.close(fd)
