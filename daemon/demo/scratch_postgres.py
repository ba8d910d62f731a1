"""A PostgreSQL cluster of the demo's own: real, private, on a free loopback port, gone with its directory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.errors import InvalidInput, Unavailable
from daemon.demo.processes import run_program, tool_environment
from daemon.demo.programs import Programs
from daemon.embedded.children import Child, ChildSpec
from daemon.embedded.ports import LOOPBACK, start_with_free_ports
from daemon.embedded.private_files import make_private_dir, write_private

SUPERUSER: Final = "postgres"
_STATUS_LINE: Final = 7
"""Index of the line of `postmaster.pid` that says `ready` when the server takes connections; `pg_ctl` reads the same."""
_SETTINGS: Final = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "50",
    "max_wal_size": "1GB",
    # The demo's data are made up: they need to outlive its server, not a power failure.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}
_FAST_STOP_S: Final = 20.0
_QUIT_S: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where a cluster is and how its superuser logs in."""

    host: str
    port: int
    user: str
    passfile: Path
    """With the superuser's password, in PostgreSQL's own pgpass format; mode 0600."""
    data_dir: Path

    def environment(self, database: str) -> dict[str, str]:
        """For PostgreSQL's client programs: everything by environment, so that no name is taken for an option."""
        return tool_environment(
            PGHOST=self.host,
            PGPORT=str(self.port),
            PGUSER=self.user,
            PGPASSFILE=str(self.passfile),
            PGDATABASE=database,
            PGCLIENTENCODING="UTF8",
            PGCONNECT_TIMEOUT="10",
            PGAPPNAME="strongroom demo",
        )


@asynccontextmanager
async def scratch_postgres(directory: Path, programs: Programs) -> AsyncIterator[Cluster]:
    """A running cluster with its data in `directory`, stopped in order on leaving; the data stay.

    It dies with this process.  Raises: Unavailable `engine.unreachable` with the server's or initdb's own words.
    """
    make_private_dir(directory)
    password = secrets.token_urlsafe(24)
    data_dir = directory / "data"
    if programs.server_user is not None:
        os.chown(directory, programs.server_user.uid, programs.server_user.gid)
    await check_reachable(directory, programs)
    await _initialise(directory, data_dir, password, programs)

    async def start(ports: Sequence[int]) -> tuple[int, Child]:
        child = Child(_server(directory, data_dir, ports[0], programs))
        await child.start()
        return ports[0], child

    port, child = await start_with_free_ports(1, start)
    try:
        passfile = directory / "pgpass"
        write_private(passfile, f"{LOOPBACK}:{port}:*:{SUPERUSER}:{password}\n")
        yield Cluster(host=LOOPBACK, port=port, user=SUPERUSER, passfile=passfile, data_dir=data_dir)
    finally:
        await _stop(child)


async def check_reachable(directory: Path, programs: Programs) -> None:
    """Raises: InvalidInput when the server, which must not be root, could not get there."""
    user = programs.server_user
    if user is None:
        return
    look = [*programs.as_server_user(), shutil.which("test") or "test", "-x", str(directory)]
    ended, _ = await run_program(look, environment=tool_environment())
    if ended.status != 0:
        raise InvalidInput(
            "input.invalid",
            f"PostgreSQL refuses to run as root, and the user {user.name} cannot reach {directory}: "
            "choose another temporary directory by TMPDIR, or run the demo as another user",
            field="directory",
        )


async def _initialise(directory: Path, data_dir: Path, password: str, programs: Programs) -> None:
    password_file = directory / "initdb-password"
    write_private(password_file, password)
    if programs.server_user is not None:
        os.chown(password_file, programs.server_user.uid, programs.server_user.gid)
    command = [
        *programs.as_server_user(),
        programs.initdb,
        f"--pgdata={data_dir}",
        f"--username={SUPERUSER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",  # the only one that every host has
        "--no-sync",
    ]
    try:
        ended, _ = await run_program(command, environment=tool_environment(), directory=directory)
    finally:
        password_file.unlink()
    if ended.status != 0:
        raise Unavailable("engine.unreachable", f"initdb ended with status {ended.status}", detail=ended.stderr_tail)


def _server(directory: Path, data_dir: Path, port: int, programs: Programs) -> ChildSpec:
    settings = [f"--{key.replace('_', '-')}={value}" for key, value in {"port": str(port), **_SETTINGS}.items()]

    async def ready() -> bool:
        # Asked of the data directory and not of the port, where somebody else's server might answer.
        return await asyncio.to_thread(_is_ready, data_dir / "postmaster.pid")

    return ChildSpec(
        name="postgres",
        argv=[*programs.as_server_user(), programs.postgres, "-D", str(data_dir), *settings],
        directory=directory,
        ready=ready,
        error_code="engine.unreachable",
        environment=tool_environment(),
    )


def _is_ready(postmaster_pid: Path) -> bool:
    try:
        lines = postmaster_pid.read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > _STATUS_LINE and lines[_STATUS_LINE].strip() == "ready"


async def _stop(child: Child) -> None:
    """SIGINT: open transactions are rolled back and a checkpoint is written; SIGTERM would wait for every client.

    Runs to its end however often it is cancelled meanwhile: KILL would leave shared memory behind, and the end is near.
    """
    ending = asyncio.create_task(_stop_in_order(child), name="postgres-stop")
    cancelled = False
    while not ending.done():
        try:
            await asyncio.wait({ending})
        except asyncio.CancelledError:
            cancelled = True
    ending.result()
    if cancelled:
        raise asyncio.CancelledError


async def _stop_in_order(child: Child) -> None:
    for number, grace_s in ((signal.SIGINT, _FAST_STOP_S), (signal.SIGQUIT, _QUIT_S)):
        if child.running:
            child.send(number)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await child.wait()
    await child.kill()
