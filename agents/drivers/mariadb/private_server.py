"""A MariaDB server that nobody but this agent can reach: on a data directory that was just made, or just restored.

It listens on a socket in a private directory and nowhere else.  Whatever the server was set up to do, it does none of it: it
follows no primary, writes no binary log and runs no events.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.mariadb.tools import find_program
from agents.drivers.scratch import until_ready
from agents.processes import Command, run, start
from contracts.errors import RunFailed

_USERS: Final = ("mysql", "nobody")
"""Whom root becomes, the first of them that this host has: a server that runs as root can do everything to the host."""
_REACH: Final = [
    *(f"--{which}=-all,+dac_read_search" for which in ("inh-caps", "ambient-caps", "bounding-set")),
    "--securebits=+no_setuid_fixup",  # else access(2), which Aria trusts, would ignore the capability
]
_SOCKET: Final = "s"
_SETTINGS: Final = (
    "--skip-networking",
    "--skip-log-bin",
    "--skip-slave-start",
    "--event-scheduler=OFF",
    "--innodb-buffer-pool-size=64M",
    "--innodb-buffer-pool-load-at-startup=OFF",
    "--innodb-buffer-pool-dump-at-shutdown=OFF",
    "--key-buffer-size=8M",
    "--aria-pagecache-buffer-size=8M",
    "--max-connections=20",
    "--max-allowed-packet=1G",
    "--performance-schema=OFF",
    # It is thrown away: it need not outlive a power failure.
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-flush-method=nosync",
    "--innodb-doublewrite=OFF",
)
_START_TIMEOUT_S: Final = 3600.0
"""A restored directory may have much to roll back."""
_INSTALL_TIMEOUT_S: Final = 120.0
_STOP_GRACE_S: Final = 60.0


@dataclass(frozen=True)
class ServerUser:
    """Whom the server runs as."""

    uid: int
    gid: int

    @property
    def is_us(self) -> bool:
        return self.uid == os.geteuid()

    def give_tree(self, path: Path) -> None:
        """Makes the user the owner of all of it."""
        if self.is_us:
            return
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, self.uid, self.gid, follow_symlinks=False)
        os.chown(path, self.uid, self.gid)

    def argv(self, command: Sequence[str], place: Path) -> list[str]:
        """The command, to be run as this user, with `place` in its reach.

        The directories above the agent's own are mostly closed to others.  Then the server may pass them, and read what it
        is pointed to, which `--secure-file-priv` keeps SQL from doing; it may write nothing that is not its own.
        """
        if self.is_us:
            return list(command)
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise RunFailed(
                "engine.tool_missing", "the program setpriv is not installed: install it with apt-get install util-linux"
            )
        reach = [] if self._reaches(place) else _REACH
        become = [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups", *reach, "--no-new-privs"]
        return [setpriv, *become, "--pdeathsig=KILL", "--", *command]  # a change of user has cleared the request before

    def _reaches(self, place: Path) -> bool:
        return all(self._may_pass(parent.stat()) for parent in place.resolve().parents)

    def _may_pass(self, status: os.stat_result) -> bool:
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == self.gid else stat.S_IXOTH))


def server_user() -> ServerUser:
    """Who we are; for root a user made for servers.

    Raises: RunFailed `engine.permission` when root has nobody to become.
    """
    if os.geteuid() != 0:
        return ServerUser(os.geteuid(), os.getegid())
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return ServerUser(entry.pw_uid, entry.pw_gid)
    raise RunFailed(
        "engine.permission",
        f"MariaDB must not run as root, and this host has none of the users {', '.join(_USERS)}: create the user mysql, or "
        "run the agent as another user",
    )


async def make_datadir(directory: Path, bin_dir: str) -> None:
    """A new, empty one, whose account root@localhost has no password.  Raises: RunFailed `restore.failed`, `engine.*`."""
    directory.mkdir(mode=0o700)
    command = Command(
        argv=[
            find_program("mariadb-install-db", bin_dir),
            "--no-defaults",
            f"--datadir={directory}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *(["--user=root"] if os.geteuid() == 0 else []),  # nothing but its own scripts run in it
        ],
        package="mariadb-server",
    )
    try:
        finished = await run(command, timeout_s=_INSTALL_TIMEOUT_S)
    except TimeoutError:
        raise RunFailed("restore.failed", f"mariadb-install-db did not end within {_INSTALL_TIMEOUT_S:g} s") from None
    if not finished.status.ok:
        words = (finished.stderr + finished.stdout.decode(errors="replace"))[-4000:]
        what = f"mariadb-install-db {finished.status}: no scratch server could be made"
        raise RunFailed("restore.failed", what, detail=words or None)


@asynccontextmanager
async def private_server(
    datadir: Path, room: Path, bin_dir: str, *, defaults: Path | None = None, ask_nobody: bool = False
) -> AsyncIterator[MariaDBConnection]:
    """The server on `datadir`, and how to reach it as root; leaving stops it.

    `room` is made for its socket and temporary files.  With `ask_nobody` logins are not checked.
    Raises: RunFailed `restore.failed` with the server's words when it does not start, `engine.tool_missing`.
    """
    user = server_user()
    room.mkdir(mode=0o700)
    user.give_tree(room)
    await asyncio.to_thread(user.give_tree, datadir)
    room_fd = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        command = Command(
            argv=user.argv(
                [
                    find_program("mariadbd", bin_dir),
                    f"--defaults-file={defaults}" if defaults is not None else "--no-defaults",
                    f"--datadir={datadir}",
                    # A socket's path may have 107 bytes only: the server gets to it by a descriptor, and so do we.
                    f"--socket=/proc/self/fd/{room_fd}/{_SOCKET}",
                    f"--pid-file={room}/pid",
                    f"--tmpdir={room}",
                    f"--secure-file-priv={room}",
                    *_SETTINGS,
                    *(["--skip-grant-tables"] if ask_nobody else []),
                ],
                datadir,
            ),
            package="mariadb-server",
            pass_fds=(room_fd,),
            grace_s=_STOP_GRACE_S,
        )
        async with start(command) as server:
            # Our own descriptor, as our programs see it.
            socket = f"/proc/{os.getpid()}/fd/{room_fd}/{_SOCKET}"
            await until_ready(server, lambda: _answers(socket), timeout_s=_START_TIMEOUT_S)
            yield MariaDBConnection(user="root", socket=socket, bin_dir=bin_dir)
    finally:
        os.close(room_fd)


async def _answers(socket: str) -> bool:
    """The server's greeting comes when it is ready, and not as soon as the socket is there."""
    try:
        reader, writer = await asyncio.open_unix_connection(socket)
        with closing(writer):
            return bool(await reader.read(1))
    except OSError:
        return False
