"""PostgreSQL for the contract: a real cluster, filled; restored into itself, or as a data directory beside it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from psycopg import sql

from agents.drivers.base import DumpSource, PlannedArtifact
from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.driver import PostgreSQLDriver
from agents.drivers.postgresql.dump import PostgreSQLDump
from agents.drivers.postgresql.physical.dump import PhysicalDump
from contracts.records import RestoreTarget
from contracts.services import PostgreSQLOptions
from tests.agents.drivers.contract import EngineUnderTest
from tests.agents.drivers.postgresql.support import Contents, Host, look_into, open_database, quoted, run_sql
from tests.servers.postgres import PostgresCluster, RestoredCluster
from tests.servers.tools import pg_bin
from tests.servers.waiting import eventually

DEPLOY = Path(__file__).parents[4] / "deploy" / "postgresql"
ODD = "Straße \"7\" 'x' = y"
EMPTY = "nothing in it"
OWNER = 'Owner "of" it'
LARGE_ROWS = 1200
_RICH = Path(__file__).with_name("rich.sql")
_FILLED = "filled"
"""A template, so that every test is filled anew in no time."""
_SECRET_SETTING = "jwt-s3cr3t"
_LARGE = """
CREATE TABLE "Large one" (id int PRIMARY KEY, body bytea);
ALTER TABLE "Large one" ALTER body SET STORAGE EXTERNAL;
INSERT INTO "Large one" SELECT i, (SELECT string_agg(uuid_send(gen_random_uuid()), '') FROM generate_series(1, 256 + i * 0))
FROM generate_series(1, {rows}) i;
"""


class PostgreSQLUnderTest(EngineUnderTest):
    """What both methods share: the cluster and what is in it."""

    recipe = ""
    method = ""

    def __init__(self, cluster: PostgresCluster, directory: Path) -> None:
        self.cluster = cluster
        self.host = Host(cluster, directory)
        self.login = ("strongroom role", cluster.password[::-1])
        self.secrets = (cluster.password, self.login[1], _SECRET_SETTING)

    def fill(self) -> None:
        """Whatever was there before goes."""
        if not self.cluster.running:
            self.cluster.start()
        self._empty()
        role = quoted(self.login[0])
        command = [pg_bin("psql"), "-X", "-q", "-d", self.cluster.dsn, "-v", f"role={self.login[0]}"]
        subprocess.run([*command, "-f", str(DEPLOY / self.recipe)], check=True, capture_output=True)
        self.cluster.query(f"ALTER ROLE {role} PASSWORD '{self.login[1]}'")
        self.cluster.query(f"CREATE ROLE {quoted(OWNER)} LOGIN PASSWORD 'x' CONNECTION LIMIT 7")
        if not self.cluster.query("SELECT 1 FROM pg_database WHERE datname = %s", [_FILLED]):
            self.cluster.query(f"CREATE DATABASE {_FILLED}")
            run_sql(self.cluster, _FILLED, _RICH.read_text())
            run_sql(self.cluster, _FILLED, _LARGE.format(rows=LARGE_ROWS))
            self.cluster.query(f"ALTER DATABASE {_FILLED} IS_TEMPLATE true")
        self.cluster.query(f"CREATE DATABASE {quoted(ODD)} OWNER {quoted(OWNER)} TEMPLATE {_FILLED}")
        self.cluster.query(f"ALTER DATABASE {quoted(ODD)} SET \"app.jwt\" = '{_SECRET_SETTING}'")
        self.cluster.query(f"CREATE DATABASE {quoted(EMPTY)}")
        run_sql(self.cluster, ODD, f'SET ROLE {quoted(OWNER)}; CREATE SCHEMA "größe"; CREATE TABLE "größe"."a.b" (i int)')

    def _empty(self) -> None:
        for name in self._databases():
            if name != "postgres":
                self.cluster.query(f"DROP DATABASE {quoted(name)} WITH (FORCE)")
        run_sql(self.cluster, "postgres", "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        run_sql(self.cluster, "postgres", "GRANT USAGE ON SCHEMA public TO PUBLIC")
        roles = "SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', %s)"
        for (name,) in self.cluster.query(roles, [self.login[0]]):
            self.cluster.query(f"DROP OWNED BY {quoted(name)}")
            self.cluster.query(f"DROP ROLE {quoted(name)}")

    def driver(self) -> PostgreSQLDriver:
        return self._driver(*self.login)

    def driver_with_wrong_credentials(self) -> PostgreSQLDriver:
        return self._driver(self.login[0], "wr0ng-" + self.login[1])

    def _driver(self, user: str, password: str) -> PostgreSQLDriver:
        return self.host.driver(self._connection(user, password), PostgreSQLOptions(method=self.method))  # type: ignore[arg-type]

    def _connection(self, user: str, password: str) -> PostgreSQLConnection:
        return self.host.connection(user, password)

    async def content(self) -> dict[str, Any]:
        return content_of(self.cluster)

    async def wipe(self) -> None:
        self._empty()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        began, ended = threading.Event(), threading.Event()

        def write() -> None:
            with open_database(self.cluster, ODD) as client:
                number = 0
                while not ended.is_set():
                    number += 1
                    client.execute("INSERT INTO app.customers (email) VALUES (%s)", [f"written {number}"])
                    client.execute(f"CREATE TABLE app.written_{number} AS SELECT {number} AS i".encode())
                    began.set()
                    ended.wait(0.005)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert began.wait(10)
            yield
        finally:
            ended.set()
            writer.join()

    def check_written_meanwhile(self, before: Any, restored: Any) -> None:
        assert restored["roles"] == before["roles"]
        assert restored["databases"].keys() == before["databases"].keys()
        for name, old in before["databases"].items():
            new = restored["databases"][name]
            assert set(old.definitions) <= set(new.definitions)
            assert old.large_objects == new.large_objects
            for table, rows in old.rows.items():
                assert set(rows) <= set(new.rows[table]), table
        odd = restored["databases"][ODD]
        created = [rows for table, rows in odd.rows.items() if table.startswith("app.written_")]
        added = len(odd.rows["app.customers"]) - len(before["databases"][ODD].rows["app.customers"])
        # What was committed one after the other is there one after the other.
        assert len(created) >= 1
        assert added in {len(created), len(created) + 1}

    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        return max(planned, key=lambda one: one.estimate_bytes)

    async def break_dump(self, source: DumpSource) -> None:
        assert isinstance(source, PostgreSQLDump | PhysicalDump)
        os.kill(source.pid, signal.SIGKILL)

    async def kill(self) -> None:
        self.cluster.kill()

    async def revive(self) -> None:
        self.cluster.start()

    async def leftovers(self) -> list[str]:
        await eventually(lambda: not self._left())  # a server notices in its own time that a client is gone
        return self._left()

    def _left(self) -> list[str]:
        sessions = self.cluster.query(
            "SELECT 'session ' || query FROM pg_stat_activity WHERE application_name = 'strongroom'"
        )
        slots = self.cluster.query("SELECT 'slot ' || slot_name FROM pg_replication_slots")
        backups = self.cluster.query("SELECT 'base backup ' || phase FROM pg_stat_progress_basebackup")
        databases = [name for name in self._databases() if "__re" in name]
        files = [path.name for path in self.host.runtime_dir.iterdir()]
        return [*(text for (text,) in [*sessions, *slots, *backups]), *databases, *files]

    async def expected_counts(self) -> dict[str, int]:
        counts: dict[str, int] = {}
        for name in self._databases():
            with open_database(self.cluster, name) as client:
                select = f"""
                    SELECT n.nspname, c.relname, (xpath('/row/c/text()', query_to_xml(format(
                             'SELECT count(*) AS c FROM ONLY %I.%I', n.nspname, c.relname), false, true, '')))[1]::text::int
                    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_|^information_schema' {self.not_counted}"""
                for schema, table, rows in client.execute(select.encode()):
                    counts[".".join(_as_in_sql(part) for part in (name, schema, table))] = rows
        return counts

    not_counted = ""

    def _databases(self) -> list[str]:
        return [name for (name,) in self.cluster.query("SELECT datname FROM pg_database WHERE NOT datistemplate")]


class LogicalUnderTest(PostgreSQLUnderTest):
    """pg_dump and pg_restore, within one cluster; restored by a superuser, who alone can give everything back."""

    recipe = "backup-role.sql"
    method = "logical"

    def restoring_driver(self) -> PostgreSQLDriver:
        return self._driver("", "")

    def target(self, *, replace: bool = False) -> RestoreTarget:
        return RestoreTarget(project="acme", service="orders", node="node-1", replace=replace)

    async def content_of_target(self) -> Any:
        return await self.content()

    async def change(self) -> None:
        script = """
            CREATE TABLE app.added AS SELECT 1 AS i; DELETE FROM app.orders WHERE id % 2 = 0; DROP TABLE "Large one";
            UPDATE app.customers SET email = 'changed ' || id; SELECT nextval('app.counter');
        """
        run_sql(self.cluster, ODD, script)

    async def occupy_target(self) -> None:
        pass


class PhysicalUnderTest(PostgreSQLUnderTest):
    """pg_basebackup, restored to a directory below the one where this host allows it."""

    recipe = "physical-backup-role.sql"
    method = "physical"
    not_counted = "AND c.relpersistence <> 'u'"

    def __init__(self, cluster: PostgresCluster, directory: Path, restore_dir: Path) -> None:
        super().__init__(cluster, directory)
        self.restore_dir = restore_dir
        self.restored = restore_dir / "the restored one"

    def _connection(self, user: str, password: str) -> PostgreSQLConnection:
        return self.host.connection(user, password, restore_dir=str(self.restore_dir))

    def target(self, *, replace: bool = False) -> RestoreTarget:
        return RestoreTarget(project="acme", service="orders", node="node-1", directory=self.restored.name, replace=replace)

    async def content(self) -> Any:
        return without_unlogged(content_of(self.cluster))

    async def content_of_target(self) -> Any:
        if not self.restored.exists():
            return None
        if not (self.restored / "PG_VERSION").exists():
            return {path.name: path.read_text() for path in self.restored.iterdir()}
        with_server = RestoredCluster(self.restored, self.cluster)
        try:
            with_server.start()
            return without_unlogged(content_of(with_server))
        finally:
            with_server.stop()

    async def wipe(self) -> None:
        await super().wipe()
        shutil.rmtree(self.restored, ignore_errors=True)

    async def occupy_target(self) -> None:
        self.restored.mkdir(mode=0o700)
        (self.restored / "precious").write_text("data")
        (self.restored / "forgotten").write_text("data")

    async def change(self) -> None:
        (self.restored / "added").write_text("more")
        (self.restored / "precious").write_text("other data")
        (self.restored / "forgotten").unlink()

    def _left(self) -> list[str]:
        return [*super()._left(), *(path.name for path in self.restore_dir.iterdir() if path != self.restored)]


def content_of(cluster: PostgresCluster) -> dict[str, Any]:
    """Roles, and every database as an independent client sees it."""
    names = [name for (name,) in cluster.query("SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")]
    roles = cluster.query(
        "SELECT rolname, rolcanlogin, rolconnlimit, rolsuper, rolpassword FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1"
    )
    settings = cluster.query(
        "SELECT d.datname, pg_get_userbyid(d.datdba), s.setconfig::text FROM pg_database d "
        "LEFT JOIN pg_db_role_setting s ON s.setdatabase = d.oid WHERE NOT datistemplate ORDER BY 1"
    )
    return {"roles": roles, "settings": settings, "databases": {name: look_into(cluster, name) for name in names}}


def without_unlogged(content: dict[str, Any]) -> dict[str, Any]:
    """Files of unlogged tables are not in a base backup."""
    databases: dict[str, Contents] = content["databases"]
    return {**content, "databases": {name: _without(found) for name, found in databases.items()}}


def _without(found: Contents) -> Contents:
    return Contents(
        {**found.rows, **({"app.cache": []} if "app.cache" in found.rows else {})},
        found.sequences,
        found.definitions,
        found.large_objects,
    )


def _as_in_sql(name: str) -> str:
    plain = name.replace("_", "").isalnum() and name.isascii() and name.islower() and not name[0].isdigit()
    return name if plain else sql.Identifier(name).as_string(None)
