"""What the driver's tests share: the data path's part, played in memory, and people who look at databases with psycopg."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg import sql

from agents.drivers.base import PlannedArtifact
from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.driver import PostgreSQLDriver
from contracts.records import ArtifactRecord, Attributes, RestoreTarget
from contracts.services import PostgreSQLOptions
from tests.agents.drivers.playing import RUN_ID, feed, finish_dump, read_all, record_of
from tests.servers.postgres import PostgresCluster


class Host:
    """An agent's host with connection settings for one cluster."""

    def __init__(self, cluster: PostgresCluster, directory: Path) -> None:
        self.cluster = cluster
        self.runtime_dir = directory / "runtime"
        self.runtime_dir.mkdir(mode=0o700, exist_ok=True)
        self._directory = directory

    def connection(self, user: str = "", password: str = "", **settings: Any) -> PostgreSQLConnection:
        """As the superuser unless told otherwise."""
        user = user or self.cluster.superuser
        path = self._directory / f"password-{self.cluster.port}-{user.encode().hex()}"
        path.write_text((password or self.cluster.password) + "\n")
        values = {"host": self.cluster.host, "port": self.cluster.port, "user": user, "password_file": str(path), **settings}
        return PostgreSQLConnection(**values)

    def driver(
        self, connection: PostgreSQLConnection | None = None, options: PostgreSQLOptions | None = None
    ) -> PostgreSQLDriver:
        return PostgreSQLDriver(
            connection or self.connection(), options, runtime_dir=self.runtime_dir, work_dir=self.runtime_dir
        )

    def backup_of(self, *databases: str, with_globals: bool = False, **settings: Any) -> PostgreSQLDriver:
        options = PostgreSQLOptions(include=list(databases), globals=with_globals, **settings)
        return self.driver(options=options)


def target(rename: Mapping[str, str] | None = None, *, replace: bool = False, skip_roles: bool = False) -> RestoreTarget:
    return RestoreTarget(
        project="acme", service="orders", node="node-1", rename=dict(rename or {}), replace=replace, skip_roles=skip_roles
    )


def database_record(name: str, *, kind: str = "database", **attributes: Any) -> ArtifactRecord:
    """A record without an object, for checks."""
    return ArtifactRecord(
        name=name,
        kind=kind,
        format="pg_dump-custom",
        object_key=f"acme/orders/{name}.pgdump.zst.age",
        stored_bytes=1000,
        plain_bytes=1000,
        sha256="0" * 64,
        attributes={"server_version": "15.1", "tool_version": "15.1", "encoding": "UTF8", **attributes},
    )


def globals_record(plain_bytes: int = 1000) -> ArtifactRecord:
    record = database_record("globals", kind="globals")
    return msgspec.structs.replace(record, format="sql", plain_bytes=plain_bytes)


async def dump(driver: PostgreSQLDriver, planned: PlannedArtifact) -> tuple[bytes, list[str]]:
    """The whole dump and its warnings."""
    async with driver.dump(planned) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        return data, await finish_dump(source, data)


async def back_up(driver: PostgreSQLDriver, name: str) -> tuple[ArtifactRecord, bytes]:
    """One artifact of a new plan."""
    plan = await driver.plan_backup()
    planned = next(artifact for artifact in plan.artifacts if artifact.name == name)
    data, _ = await dump(driver, planned)
    return record_of(planned, data), data


async def restore(
    driver: PostgreSQLDriver, record: ArtifactRecord, data: bytes, where: RestoreTarget, run_id: str = RUN_ID
) -> Attributes:
    await driver.check_restore([record], where)
    async with driver.restore(record, where, run_id) as sink:
        await feed(sink, data)
        return await sink.finish()


class Contents(msgspec.Struct, frozen=True):
    """A database as an independent client sees it."""

    rows: dict[str, list[str]]
    sequences: dict[str, int]
    definitions: list[tuple[str, ...]]
    large_objects: dict[int, bytes]


_DEFINITIONS = """
SELECT 'relation', n.nspname, c.relname, c.relkind::text, c.relrowsecurity::text, pg_get_userbyid(c.relowner), c.relacl::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'index', schemaname, indexname, indexdef, '', '', '' FROM pg_indexes WHERE schemaname !~ '^pg_'
UNION ALL SELECT 'view', schemaname, viewname, definition, '', '', '' FROM pg_views
  WHERE schemaname !~ '^pg_' AND schemaname <> 'information_schema'
UNION ALL SELECT 'policy', schemaname, tablename, policyname, roles::text, qual, coalesce(with_check, '') FROM pg_policies
UNION ALL SELECT 'function', n.nspname, p.proname, pg_get_functiondef(p.oid), '', '', '' FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND p.prokind <> 'a'
UNION ALL SELECT 'extension', extname, extversion, '', '', '', '' FROM pg_extension
UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '' FROM pg_constraint
  WHERE connamespace::regnamespace::text !~ '^pg_|^information_schema'
ORDER BY 1, 2, 3, 4
"""


def look_into(cluster: PostgresCluster, database: str) -> Contents:
    """Everything, for comparing."""
    with open_database(cluster, database) as client:
        definitions = client.execute(_DEFINITIONS).fetchall()
        rows: dict[str, list[str]] = {}
        sequences: dict[str, int] = {}
        for _, schema, name, kind, *_ in [found for found in definitions if found[0] == "relation"]:
            relation = sql.SQL("{}.{}").format(sql.Identifier(schema), sql.Identifier(name))
            if kind in ("r", "m"):
                found = client.execute(sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(relation)).fetchall()
                rows[f"{schema}.{name}"] = [text for (text,) in found]
            elif kind == "S":
                value = client.execute(sql.SQL("SELECT last_value FROM {}").format(relation)).fetchone()
                assert value is not None
                sequences[f"{schema}.{name}"] = value[0]
        objects = client.execute("SELECT oid::bigint, lo_get(oid) FROM pg_largeobject_metadata").fetchall()
    return Contents(rows, sequences, [tuple(map(str, found)) for found in definitions], dict(objects))


@contextmanager
def open_database(cluster: PostgresCluster, database: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """As the superuser, whatever the name is."""
    with psycopg.connect(
        host=cluster.host,
        port=cluster.port,
        dbname=database,
        user=cluster.superuser,
        password=cluster.password,
        autocommit=True,
        options="-c default_transaction_read_only=off",
    ) as client:
        yield client


def run_sql(cluster: PostgresCluster, database: str, script: str) -> None:
    """A script of the test's own."""
    with open_database(cluster, database) as client:
        client.execute(script.encode())


def database_names(cluster: PostgresCluster) -> set[str]:
    return {name for (name,) in cluster.query("SELECT datname FROM pg_database")}


def quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def program_dir(directory: Path, scripts: Mapping[str, str], real: Path) -> Path:
    """A directory of programs for `bin_dir`: the real ones, but for those given as shell scripts."""
    directory.mkdir()
    for path in real.iterdir():
        if path.name not in scripts:
            (directory / path.name).symlink_to(path)
    for name, script in scripts.items():
        path = directory / name
        path.write_text(script)
        path.chmod(0o755)
    return directory
