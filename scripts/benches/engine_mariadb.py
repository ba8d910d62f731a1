"""MariaDB: mariadb-backup with mbstream and prepare, and mariadb-dump with the client."""

from __future__ import annotations

import asyncio
import random
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from contracts.services import MariaDBOptions
from scripts.benches.cost import Cost
from scripts.benches.engine_case import Case, Prepare, added, target
from scripts.benches.peer_side import Pipeline
from scripts.benches.procfs import children_cpu_seconds
from tests.servers.directories import server_directory
from tests.servers.mariadb import MariaDBServer
from tests.servers.tools import tool

_DATABASE = "bench"
_ROW_BYTES = 1024
_ROWS_AT_ONCE = 1000
_SETTINGS = {"innodb-log-file-size": "512M", "innodb-buffer-pool-size": "256M"}


def cases(size_mib: int) -> Iterator[tuple[str, Prepare]]:
    yield f"MariaDB, mariadb-backup, {size_mib} MiB", partial(_physical, size_mib)
    yield f"MariaDB, mariadb-dump, {size_mib} MiB", partial(_logical, size_mib)


@asynccontextmanager
async def _running(size_mib: int) -> AsyncIterator[MariaDBServer]:
    with server_directory("mariadb") as directory:
        server = MariaDBServer(directory, _SETTINGS)
        try:
            server.start()
            await asyncio.to_thread(_fill, server, size_mib)
            yield server
        finally:
            server.kill()


def _fill(server: MariaDBServer, size_mib: int) -> None:
    """Half of each row is random, half compresses well."""
    noise = random.Random(20261122)  # noqa: S311 - the same each time
    server.query(f"CREATE DATABASE {_DATABASE}")
    server.query("CREATE TABLE orders (id INT PRIMARY KEY, note TEXT, body VARBINARY(600))", database=_DATABASE)
    rows = size_mib * 1024 * 1024 // _ROW_BYTES
    text = "please ring twice at the side entrance of the old station " * 9
    with server.connect(_DATABASE) as connection, connection.cursor() as cursor:
        for first in range(0, rows, _ROWS_AT_ONCE):
            cursor.executemany(
                "INSERT INTO orders VALUES (%s, %s, %s)",
                [
                    (number, text[: _ROW_BYTES // 2], noise.randbytes(_ROW_BYTES // 2))
                    for number in range(first, min(first + _ROWS_AT_ONCE, rows))
                ],
            )


def _connection(server: MariaDBServer, directory: Path, **more: str) -> dict[str, object]:
    password_file = directory / "password"
    password_file.write_text(server.password)
    password_file.chmod(0o600)
    return {
        "kind": "mariadb",
        "user": "root",
        "socket": str(server.socket),
        "password_file": str(password_file),
        **more,
    }


def _defaults(server: MariaDBServer, directory: Path) -> str:
    path = directory / "peer.cnf"
    path.write_text(f"[client]\nuser=root\npassword={server.password}\nsocket={server.socket}\n")
    path.chmod(0o600)
    return f"--defaults-extra-file={path}"


@asynccontextmanager
async def _physical(size_mib: int, directory: Path) -> AsyncIterator[Case]:
    restores = directory / "restores"
    restores.mkdir()
    restored = restores / "data"
    async with _running(size_mib) as server:
        defaults = _defaults(server, directory)

        async def make_room() -> None:
            if restored.exists():
                await asyncio.to_thread(shutil.rmtree, restored)

        async def check_restored() -> None:
            table = restored / _DATABASE / "orders.ibd"
            if not table.exists() or table.stat().st_size < size_mib * 1024 * 1024:
                raise SystemExit("what came back is no data directory with the table in it")

        async def back_up(peer: Pipeline) -> Cost:
            empty = directory / "empty"
            argv = [tool("mariadb-backup"), defaults, "--backup", "--stream=mbstream", f"--target-dir={empty}"]
            return await asyncio.to_thread(peer.upload, argv, {}, keep=True)

        async def restore(peer: Pipeline, identity_file: str) -> Cost:
            restored.mkdir(mode=0o700)
            unpacked = await asyncio.to_thread(peer.fetch, [tool("mbstream"), "-x", "-C", str(restored)], {}, identity_file)
            prepared = await asyncio.to_thread(_prepare, restored)
            await check_restored()
            return added(unpacked, prepared)

        yield Case(
            connection=_connection(server, directory, restore_dir=str(restores)),
            options=MariaDBOptions(users=False),
            target=target(directory=str(restored)),
            peer_name="mariadb-backup | zstd | age | rclone",
            make_room=make_room,
            check_restored=check_restored,
            peer_backup=back_up,
            peer_restore=restore,
        )


def _prepare(directory: Path) -> Cost:
    cpu_before, began = children_cpu_seconds(), time.perf_counter()
    argv = [tool("mariadb-backup"), "--prepare", f"--target-dir={directory}"]
    subprocess.run(argv, check=True, stderr=subprocess.DEVNULL)
    return Cost(wall_s=time.perf_counter() - began, cpu_s=children_cpu_seconds() - cpu_before, memory_mib=0, stored_bytes=0)


@asynccontextmanager
async def _logical(size_mib: int, directory: Path) -> AsyncIterator[Case]:
    async with _running(size_mib) as server:
        defaults = _defaults(server, directory)
        count = "SELECT COUNT(*), SUM(CRC32(body)) FROM bench.orders"
        expected = await asyncio.to_thread(server.query, count)

        async def make_room() -> None:
            await asyncio.to_thread(server.query, f"DROP DATABASE IF EXISTS {_DATABASE}")

        async def check_restored() -> None:
            found = await asyncio.to_thread(server.query, count)
            if found != expected:
                raise SystemExit(f"{expected} went in and {found} came back")

        async def back_up(peer: Pipeline) -> Cost:
            options = ["--single-transaction", "--routines", "--events", "--triggers", "--hex-blob"]
            argv = [tool("mariadb-dump"), defaults, *options, "--databases", _DATABASE]
            return await asyncio.to_thread(peer.upload, argv, {}, keep=True)

        async def restore(peer: Pipeline, identity_file: str) -> Cost:
            cost = await asyncio.to_thread(peer.fetch, [tool("mariadb"), defaults], {}, identity_file)
            await check_restored()
            return cost

        yield Case(
            connection=_connection(server, directory),
            options=MariaDBOptions(method="logical", include=[_DATABASE], users=False),
            target=target(),
            peer_name="mariadb-dump | zstd | age | rclone",
            make_room=make_room,
            check_restored=check_restored,
            peer_backup=back_up,
            peer_restore=restore,
        )
