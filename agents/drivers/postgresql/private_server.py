"""A PostgreSQL server that nobody but this agent can reach: on a data directory that was just made, or just restored.

It listens on a socket in a private directory and nowhere else, and asks for no password there.  Whatever the cluster was
set up to do, it does none of it: it follows no primary, archives nothing, subscribes to nothing, loads no libraries.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.server_user import ServerUser, passed_directory
from agents.drivers.postgresql.tools import Tool
from agents.drivers.scratch import until_ready
from agents.processes import Command, run, start
from contracts.errors import RunFailed

SUPERUSER: Final = "postgres"
_PORT: Final = 5432
"""Only a part of the socket's name."""
_CONFIG: Final = "# Everything is set on the command line, where nothing in the data directory can override it.\n"
_HBA: Final = "local all all trust\n"
"""Whoever may open the socket is the one who started the server."""
_SETTINGS: Final = {
    "listen_addresses": "",
    "port": str(_PORT),
    "unix_socket_permissions": "0700",
    "ssl": "off",
    "max_connections": "20",
    "superuser_reserved_connections": "0",
    "shared_buffers": "64MB",
    "huge_pages": "off",
    # Those of a backup come to life before anything else can be done.
    "max_prepared_transactions": "200",
    "max_locks_per_transaction": "256",
    # It is thrown away: it need not outlive a power failure.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    # Neither a replica, nor a primary, nor an archive's writer, nor a subscriber.
    "wal_level": "replica",
    "max_wal_senders": "0",
    "max_replication_slots": "0",
    "max_logical_replication_workers": "0",
    "synchronous_standby_names": "",
    "primary_conninfo": "",
    "primary_slot_name": "",
    "restore_command": "",
    "archive_cleanup_command": "",
    "recovery_end_command": "",
    "archive_mode": "off",
    "archive_command": "",
    "hot_standby": "on",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
    "log_destination": "stderr",
    "logging_collector": "off",
    # Its last words are shown to operators: errors, but no statements, which hold data.
    "log_min_messages": "warning",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_min_error_statement": "panic",
    "external_pid_file": "",
}
_STATUS_LINE: Final = 7
"""Index of the line of `postmaster.pid` that says `ready` when the server takes connections; `pg_ctl` reads the same."""
_START_TIMEOUT_S: Final = 3600.0
"""A restored directory replays the WAL of its backup first."""
_INITDB_TIMEOUT_S: Final = 120.0
_STOP_GRACE_S: Final = 30.0


async def make_cluster(data_dir: Path, initdb: Tool, user: ServerUser) -> None:
    """A new cluster whose superuser is `SUPERUSER`.  Raises: RunFailed `restore.failed` with initdb's words."""
    data_dir.mkdir(mode=0o700)
    user.give(data_dir)
    with passed_directory(data_dir) as (path, fd):
        command = Command(
            argv=user.argv(
                [
                    initdb.path,
                    f"--pgdata={path}",
                    f"--username={SUPERUSER}",
                    "--auth=trust",
                    "--encoding=UTF8",
                    "--locale=C",  # the only one that every host has; databases bring their own
                    "--no-sync",
                    "--no-instructions",
                ]
            ),
            package="postgresql",
            pass_fds=(fd,),
        )
        try:
            finished = await run(command, timeout_s=_INITDB_TIMEOUT_S)
        except TimeoutError:
            raise RunFailed("restore.failed", f"initdb did not end within {_INITDB_TIMEOUT_S:g} s") from None
    if not finished.status.ok:
        raise RunFailed(
            "restore.failed", f"initdb {finished.status}: no scratch server could be made", detail=finished.stderr or None
        )


@asynccontextmanager
async def private_server(
    data_dir: Path, directory: Path, postgres: Tool, user: ServerUser, *, login: str = SUPERUSER
) -> AsyncIterator[PostgreSQLConnection]:
    """The server on `data_dir`, and how to reach it as the role `login`; leaving stops it.

    `directory` is made for its socket.  Raises: RunFailed `restore.failed` with the server's words when it does not start.
    """
    directory.mkdir(mode=0o700)
    for name, text in {"postgresql.conf": _CONFIG, "pg_hba.conf": _HBA, "pg_ident.conf": ""}.items():
        (directory / name).write_text(text)
        user.give(directory / name)
    user.give(directory)
    with passed_directory(data_dir) as (data, data_fd), passed_directory(directory) as (room, room_fd):
        files = {
            "config_file": f"{room}/postgresql.conf",
            "hba_file": f"{room}/pg_hba.conf",
            "ident_file": f"{room}/pg_ident.conf",
            "unix_socket_directories": room,
        }
        settings = [word for key, value in {**_SETTINGS, **files}.items() for word in ("-c", f"{key}={value}")]
        command = Command(
            # QUIT when the agent dies: the server then ends its children and gives its shared memory back.
            argv=user.argv([postgres.path, "-D", data, *settings], death_signal="QUIT"),
            package="postgresql",
            pass_fds=(data_fd, room_fd),
            stop_signal=signal.SIGINT,
            grace_s=_STOP_GRACE_S,
        )
        async with start(command) as server:
            await until_ready(server, lambda: _is_ready(data_dir / "postmaster.pid"), timeout_s=_START_TIMEOUT_S)
            yield PostgreSQLConnection(
                user=login,
                # Our own descriptor again, as our programs see it: a socket's path may have 107 bytes only.
                host=f"/proc/{os.getpid()}/fd/{room_fd}",
                port=_PORT,
                bin_dir=str(Path(postgres.path).parent),
            )


async def _is_ready(postmaster_pid: Path) -> bool:
    # Asked of the data directory: pg_isready would have to know a role.
    with suppress(FileNotFoundError):
        lines = postmaster_pid.read_text().splitlines()
        return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"
    return False
