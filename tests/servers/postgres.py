"""A real PostgreSQL cluster of its own, never the host's."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tests.servers.process import ServerFailed, ServerProcess, start_on_free_ports
from tests.servers.tools import ToolMissing, pg_bin, tool

_UNPRIVILEGED_USER = "postgres"


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database of one test, owned by a login role of the same name."""

    host: str
    port: int
    name: str
    user: str
    password: str

    @property
    def dsn(self) -> str:
        return make_conninfo(host=self.host, port=self.port, dbname=self.name, user=self.user, password=self.password)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Runs one statement as the owner, committed; the rows, if it has any."""
        return _run(self.dsn, statement, parameters)


class PostgresCluster:
    """A cluster on a free loopback port: TCP only, every login with a SCRAM password, no fsync.

    Runs as the user `postgres` when the tests run as root, because the server refuses root.
    """

    host = "127.0.0.1"
    superuser = "postgres"

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.data_dir = directory / "data"
        self.port = 0
        self.password = secrets.token_urlsafe(18)
        self._settings = dict(settings or {})
        self._owner = _server_user()
        self._process: ServerProcess | None = None

    @property
    def dsn(self) -> str:
        return self.dsn_of("postgres")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        assert self._process is not None, "the cluster does not run"
        return self._process.pid

    def dsn_of(self, database: str) -> str:
        """As the superuser."""
        return make_conninfo(host=self.host, port=self.port, dbname=database, user=self.superuser, password=self.password)

    def start(self) -> None:
        """Makes the cluster if there is none, and starts it; again on the port it had before."""
        if not self.data_dir.exists():
            self._initialise()
        if self.port:
            self._run(self.port)
        else:
            start_on_free_ports(1, lambda ports: self._run(ports[0]))

    def stop(self) -> None:
        """Orderly: open transactions are rolled back, a checkpoint is written."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)

    def kill(self) -> None:
        """As if the power had failed for this cluster alone."""
        if self._process is not None:
            self._process.kill()

    def discard(self) -> None:
        """Ends the cluster as fast as possible without leaving shared memory behind; its data are of no use then."""
        if self._process is not None:
            self._process.stop(signal.SIGQUIT)
        pid_file = self.data_dir / "postmaster.pid"  # there only when the cluster was killed
        if pid_file.exists():
            segment = pid_file.read_text().splitlines()[6].split()[1]  # "key id", see PostgreSQL's miscadmin.h
            subprocess.run([tool("ipcrm"), "--shmem-id", segment], check=False, stderr=subprocess.DEVNULL)

    def query(self, statement: str, parameters: Sequence[Any] = (), *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Runs one statement as the superuser, committed; the rows, if it has any."""
        return _run(self.dsn_of(database), statement, parameters)

    def create_role(self, name: str = "", attributes: str = "") -> tuple[str, str]:
        """A login role, with attributes such as `REPLICATION`, and its password."""
        name = name or f"role_{secrets.token_hex(4)}"
        password = secrets.token_urlsafe(18)
        statement = f"CREATE ROLE {_quote(name)} LOGIN {attributes} PASSWORD '{password}'"
        self.query(statement)
        return name, password

    def create_database(self, name: str = "") -> Database:
        """A database, owned by a fresh login role."""
        name = name or f"db_{secrets.token_hex(4)}"
        role, password = self.create_role(name)
        self.query(f"CREATE DATABASE {_quote(name)} OWNER {_quote(role)}")
        return Database(host=self.host, port=self.port, name=name, user=role, password=password)

    def drop_database(self, name: str) -> None:
        """Drops the database, even when it is in use, and the role of the same name with what it owns."""
        self.query(f"DROP DATABASE IF EXISTS {_quote(name)} WITH (FORCE)")
        self.query(f"DROP ROLE IF EXISTS {_quote(name)}")

    def _initialise(self) -> None:
        password_file = self.directory / "password"
        password_file.write_text(self.password)
        self._give_to_server(self.directory, password_file)
        try:
            self._call(
                pg_bin("initdb"),
                f"--pgdata={self.data_dir}",
                f"--username={self.superuser}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            )
        finally:
            password_file.unlink()

    def _run(self, port: int) -> None:
        settings = {
            "port": str(port),
            "listen_addresses": self.host,
            "unix_socket_directories": "",
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
            "max_connections": "50",
            **self._settings,
        }
        arguments = [f"--{key.replace('_', '-')}={value}" for key, value in settings.items()]
        argv = [*self._as_server(), pg_bin("postgres"), "-D", str(self.data_dir), *arguments]
        # QUIT and not KILL when this process dies: the postmaster then ends its children and frees its shared memory.
        self._process = ServerProcess(
            "postgres", argv, directory=self.directory, env=_environment(), parent_death_signal="QUIT"
        )
        self._process.start(lambda: self._accepts(port))
        self.port = port

    def _accepts(self, port: int) -> bool:
        command = [pg_bin("pg_isready"), "-q", "-h", self.host, "-p", str(port), "-t", "2"]
        return subprocess.run(command, check=False, env=_environment()).returncode == 0

    def _call(self, *command: str) -> None:
        result = subprocess.run(
            [*self._as_server(), *command],
            cwd=self.directory,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise ServerFailed(f"{command[0]} ended with status {result.returncode}:\n{result.stdout}{result.stderr}")

    def _as_server(self) -> list[str]:
        """The words before a command that has to run as the server's user; this sets no parent-death signal."""
        if self._owner is None:
            return []
        reuid, regid = f"--reuid={self._owner.pw_uid}", f"--regid={self._owner.pw_gid}"
        # A change of user clears an inherited parent-death signal, so it is asked for again.
        return [tool("setpriv"), reuid, regid, "--clear-groups", "--pdeathsig=QUIT", "--"]

    def _give_to_server(self, *paths: Path) -> None:
        if self._owner is not None:
            for path in paths:
                shutil.chown(path, self._owner.pw_uid, self._owner.pw_gid)


class PostgresReplica(PostgresCluster):
    """Follows another cluster by streaming replication."""

    def __init__(self, directory: Path, primary: PostgresCluster, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, settings)
        self._primary = primary
        self.password = primary.password

    def _initialise(self) -> None:
        self._give_to_server(self.directory)
        self._call(
            pg_bin("pg_basebackup"),
            f"--dbname={self._primary.dsn}",
            f"--pgdata={self.data_dir}",
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
        )


class RestoredCluster(PostgresCluster):
    """A server on a data directory that was restored from another's."""

    def __init__(self, data_dir: Path, origin: PostgresCluster) -> None:
        super().__init__(origin.directory / "restored")
        self.directory.mkdir(exist_ok=True)
        self.data_dir = data_dir
        self.password = origin.password


def _server_user() -> pwd.struct_passwd | None:
    """The user to become, or None to stay who we are."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_UNPRIVILEGED_USER)
    except KeyError:
        raise ToolMissing(
            f"PostgreSQL refuses to run as root and there is no user {_UNPRIVILEGED_USER}: "
            "run scripts/setup, or apt-get install postgresql"
        ) from None


def _environment() -> dict[str, str]:
    """Without the caller's PG variables, which would point programs at another server."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _quote(identifier: str) -> str:
    return sql.Identifier(identifier).as_string(None)


def _run(dsn: str, statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), parameters or None)
        return cursor.fetchall() if cursor.description else []


PostgresFactory = Callable[..., PostgresCluster]
