"""PostgreSQL: pg_dump and pg_restore of one database, and pg_basebackup and tar of a cluster."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from contracts.services import PostgreSQLOptions
from scripts.benches import database
from scripts.benches.cost import Cost
from scripts.benches.engine_case import Case, Prepare, target
from scripts.benches.peer_side import Pipeline
from tests.servers.directories import server_directory
from tests.servers.postgres import Database, PostgresCluster
from tests.servers.tools import pg_bin, tool

_COUNTS = "SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM documents)"


def cases(size_mib: int) -> Iterator[tuple[str, Prepare]]:
    yield f"PostgreSQL, pg_dump, {size_mib} MiB", partial(_logical, size_mib)
    yield f"PostgreSQL, pg_basebackup, {size_mib} MiB", partial(_physical, size_mib)


@asynccontextmanager
async def _running(size_mib: int) -> AsyncIterator[tuple[PostgresCluster, Database]]:
    with server_directory("pg") as directory:
        cluster = PostgresCluster(directory, {"max_wal_size": "4GB", "autovacuum": "off", "wal_keep_size": "1GB"})
        try:
            await asyncio.to_thread(cluster.start)
            yield cluster, await asyncio.to_thread(database.fill, cluster, size_mib)
        finally:
            await asyncio.to_thread(cluster.discard)


def _connection(cluster: PostgresCluster, directory: Path, **more: str) -> dict[str, object]:
    password_file = directory / "password"
    password_file.write_text(cluster.password)
    password_file.chmod(0o600)
    return {
        "kind": "postgresql",
        "host": cluster.host,
        "port": cluster.port,
        "user": cluster.superuser,
        "password_file": str(password_file),
        **more,
    }


def _environment(cluster: PostgresCluster) -> dict[str, str]:
    return {
        "PGHOST": cluster.host,
        "PGPORT": str(cluster.port),
        "PGUSER": cluster.superuser,
        "PGPASSWORD": cluster.password,
    }


@asynccontextmanager
async def _logical(size_mib: int, directory: Path) -> AsyncIterator[Case]:
    async with _running(size_mib) as (cluster, filled):
        expected = filled.query(_COUNTS)

        async def make_room() -> None:
            await asyncio.to_thread(cluster.query, f'DROP DATABASE IF EXISTS "{filled.name}" WITH (FORCE)')

        async def check_restored() -> None:
            found = await asyncio.to_thread(cluster.query, _COUNTS, database=filled.name)
            if found != expected:
                raise SystemExit(f"{expected} rows went in and {found} came back")

        async def back_up(peer: Pipeline) -> Cost:
            argv = [pg_bin("pg_dump"), "-Fc", "-Z0", filled.name]
            return await asyncio.to_thread(peer.upload, argv, _environment(cluster), keep=True)

        async def restore(peer: Pipeline, identity_file: str) -> Cost:
            argv = [pg_bin("pg_restore"), "--create", "--exit-on-error", "-d", "postgres"]
            cost = await asyncio.to_thread(peer.fetch, argv, _environment(cluster), identity_file)
            await check_restored()
            return cost

        yield Case(
            connection=_connection(cluster, directory),
            options=PostgreSQLOptions(include=[filled.name], globals=False),
            target=target(),
            peer_name="pg_dump | zstd | age | rclone",
            make_room=make_room,
            check_restored=check_restored,
            peer_backup=back_up,
            peer_restore=restore,
        )


@asynccontextmanager
async def _physical(size_mib: int, directory: Path) -> AsyncIterator[Case]:
    restores = directory / "restores"
    restores.mkdir()
    restored = restores / "data"
    async with _running(size_mib) as (cluster, filled):
        del filled

        async def make_room() -> None:
            if restored.exists():
                await asyncio.to_thread(shutil.rmtree, restored)

        async def check_restored() -> None:
            if not (restored / "backup_label").exists() or not (restored / "base").is_dir():
                raise SystemExit("what came back is no data directory")

        async def back_up(peer: Pipeline) -> Cost:
            argv = [pg_bin("pg_basebackup"), "-D", "-", "-Ft", "-X", "fetch", "-c", "fast", "--manifest-checksums=SHA256"]
            return await asyncio.to_thread(peer.upload, argv, _environment(cluster), keep=True)

        async def restore(peer: Pipeline, identity_file: str) -> Cost:
            restored.mkdir(mode=0o700)
            cost = await asyncio.to_thread(peer.fetch, [tool("tar"), "-x", "-C", str(restored)], {}, identity_file)
            await check_restored()
            return cost

        yield Case(
            connection=_connection(cluster, directory, restore_dir=str(restores)),
            options=PostgreSQLOptions(method="physical"),
            target=target(directory=str(restored)),
            peer_name="pg_basebackup | zstd | age | rclone",
            make_room=make_room,
            check_restored=check_restored,
            peer_backup=back_up,
            peer_restore=restore,
        )
