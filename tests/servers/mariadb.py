"""A real MariaDB server of its own, never the host's."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import Cursor

from tests.servers.process import ServerFailed, ServerProcess, start_on_free_ports
from tests.servers.tools import ToolMissing, tool

_UNPRIVILEGED_USERS: Final = ("mysql", "nobody")
_SETTINGS: Final = {
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-flush-method": "nosync",
    "innodb-log-file-size": "16M",
    "innodb-doublewrite": "OFF",
    "sync-frm": "OFF",
    "innodb-buffer-pool-size": "32M",
    "innodb-buffer-pool-dump-at-shutdown": "OFF",
    "performance-schema": "OFF",
    "lc-messages": "en_US",
}


class MariaDBServer:
    """A server on a free loopback port and a socket; root@localhost has a password.

    Runs as an unprivileged user when the tests run as root.  `data_dir` may be one that was restored; without `password` the
    server asks nobody who he is.
    """

    host = "127.0.0.1"

    def __init__(
        self, directory: Path, settings: Mapping[str, str] | None = None, *, data_dir: Path | None = None, password: str = ""
    ) -> None:
        self.directory = directory
        self.data_dir = data_dir or directory / "data"
        self.socket = directory / "s"
        self.port = 0
        self.password = password or ("" if data_dir else secrets.token_urlsafe(18))
        self._asks = bool(self.password)
        self._settings = dict(settings or {})
        self._process: ServerProcess | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Makes the data directory if there is none, and starts; again on the port it had before."""
        tmp = self.directory / "tmp"
        tmp.mkdir(exist_ok=True)
        for path in (self.directory, tmp):
            give_to_server(path)
        is_new = not self.data_dir.exists()
        if is_new:
            make_data_dir(self.data_dir, tmp)
        if self.port:
            self._run(self.port)
        else:
            start_on_free_ports(1, lambda ports: self._run(ports[0]))
        if is_new:
            with self.connect(password="") as connection, connection.cursor() as cursor:
                cursor.execute("ALTER USER root@localhost IDENTIFIED BY %s", (self.password,))

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(signal.SIGTERM)

    def kill(self) -> None:
        """As if the power had failed for this server alone."""
        if self._process is not None:
            self._process.kill()

    @contextmanager
    def connect(self, database: str | None = None, *, password: str | None = None) -> Iterator[Connection[Cursor]]:
        """As root, with autocommit."""
        connection = pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            password=self.password if password is None else password,
            database=database,
            charset="utf8mb4",
            autocommit=True,
        )
        try:
            yield connection
        finally:
            with suppress(pymysql.Error):
                connection.close()

    def query(self, statement: str, parameters: Sequence[Any] = (), *, database: str | None = None) -> list[tuple[Any, ...]]:
        """Runs one statement as root; the rows, if it has any."""
        with self.connect(database) as connection, connection.cursor() as cursor:
            cursor.execute(statement, tuple(parameters) or None)
            return list(cursor.fetchall())

    def run_script(self, script: str, *, database: str = "") -> None:
        """By the stock client, as root: it knows DELIMITER."""
        result = subprocess.run(
            [
                tool("mariadb"),
                "--no-defaults",
                f"--socket={self.socket}",
                "--user=root",
                "--comments",
                "--default-character-set=utf8mb4",
                *([f"--database={database}"] if database else []),
            ],
            input=script.encode(),
            env={"PATH": os.environ["PATH"], "MYSQL_PWD": self.password, "LC_ALL": "C.UTF-8"},
            check=False,
            capture_output=True,
        )
        assert result.returncode == 0, result.stderr.decode(errors="replace")

    def _run(self, port: int) -> None:
        settings = {
            "datadir": str(self.data_dir),
            "socket": str(self.socket),
            "pid-file": str(self.directory / "pid"),
            "tmpdir": str(self.directory / "tmp"),
            "port": str(port),
            "bind-address": self.host,
            **_SETTINGS,
            **self._settings,
        }
        self._process = ServerProcess(
            "mariadbd",
            [
                *as_server_user(),
                server_program("mariadbd"),
                "--no-defaults",
                *(f"--{name}={value}" for name, value in settings.items()),
                *([] if self._asks else ["--skip-grant-tables"]),
            ],
            directory=self.directory,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        )
        self.socket.unlink(missing_ok=True)  # of one that was killed
        self._process.start(self._answers)
        self.port = port

    def _answers(self) -> bool:
        try:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(2)
                probe.connect(str(self.socket))
                return bool(probe.recv(1))
        except OSError:
            return False


def make_data_dir(path: Path, tmp: Path) -> None:
    """A new data directory, whose account root@localhost has no password yet.  `tmp` is for its temporary files."""
    result = subprocess.run(
        [
            tool("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={path}",
            f"--tmpdir={tmp}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            "--innodb-log-file-size=16M",
            *([f"--user={_server_user().pw_name}"] if os.geteuid() == 0 else []),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode != 0:
        raise ServerFailed(f"mariadb-install-db ended with status {result.returncode}:\n{result.stdout}{result.stderr}")


def server_program(name: str) -> str:
    """Of the server, which may not be on the PATH of an ordinary user."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/libexec")
    if found is None:
        raise ToolMissing(f"{name} is not installed: run scripts/setup, or apt-get install mariadb-server-core")
    return found


def as_server_user() -> list[str]:
    """The words before a command that has to run as the server's user."""
    if os.geteuid() != 0:
        return []
    user = _server_user()
    # A change of user clears an inherited parent-death signal, so it is asked for again.
    return [
        tool("setpriv"), f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--pdeathsig=KILL", "--",
    ]  # fmt: skip


def give_to_server(path: Path) -> None:
    """Makes the server's user the owner, if that is somebody else."""
    if os.geteuid() == 0:
        shutil.chown(path, _server_user().pw_uid, _server_user().pw_gid)


def _server_user() -> pwd.struct_passwd:
    """`mysql` where the server's own package made that, and otherwise somebody without rights."""
    for name in _UNPRIVILEGED_USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise ToolMissing(f"MariaDB must not run as root, and there is none of the users {', '.join(_UNPRIVILEGED_USERS)}")
