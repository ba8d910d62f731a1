"""The contract's engine: a real server, and an agent's host beside it."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final
from weakref import WeakKeyDictionary

import pymysql

from agents.drivers.base import Driver, DumpSource, PlannedArtifact
from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.mariadb.driver import MariaDBDriver
from agents.drivers.mariadb.dump import MariaDBDump
from contracts.records import RestoreTarget
from contracts.services import MariaDBOptions
from tests.agents.drivers.contract import EngineUnderTest
from tests.agents.drivers.mariadb.content import OURS, SYSTEM, count_rows, list_accounts, quote, read_content
from tests.servers.mariadb import MariaDBServer, give_to_server
from tests.servers.waiting import eventually

_RICH: Final = Path(__file__).with_name("rich.sql")
_DEPLOY: Final = Path(__file__).parents[4] / "deploy" / "mariadb"
_LARGE_ROWS: Final = 18
_LARGE_ROW_BYTES: Final = 256 * 1024
_PASSWORDS: Final = {name: secrets.token_urlsafe(12) + "\"'\\#; ü" for name in ("backup", "restore")}
_prepared: WeakKeyDictionary[MariaDBServer, dict[str, tuple[str, int]]] = WeakKeyDictionary()
"""What was made in a server, with the position of its binary log afterwards: until that moves, it is all as it was."""


class MariaDBUnderTest(EngineUnderTest):
    """Either method."""

    def __init__(self, server: MariaDBServer, host_dir: Path, options: MariaDBOptions) -> None:
        self.server = server
        self.options = options
        self.host_dir = host_dir
        self.passwords = _PASSWORDS
        self.restore_dir = ""
        for name in ("run", "work"):
            (host_dir / name).mkdir()
        for name, password in self.passwords.items():
            (host_dir / name).write_text(password)
        (host_dir / "wrong").write_text("not the password")

    def connection(self, account: str, **more: Any) -> MariaDBConnection:
        return MariaDBConnection(
            user=f"{OURS}{account}",
            host=self.server.host,
            port=self.server.port,
            restore_dir=self.restore_dir,
            **{"password_file": str(self.host_dir / account), **more},
        )

    def driver_of(self, connection: MariaDBConnection, options: MariaDBOptions | None = None) -> MariaDBDriver:
        return MariaDBDriver(
            connection, options or self.options, runtime_dir=self.host_dir / "run", work_dir=self.host_dir / "work"
        )

    def driver(self) -> MariaDBDriver:
        return self.driver_of(self.connection("backup"))

    def restoring_driver(self) -> Driver:
        return self.driver_of(self.connection("restore"))

    def driver_with_wrong_credentials(self) -> Driver:
        return self.driver_of(self.connection("backup", password_file=str(self.host_dir / "wrong")))

    def make_accounts(self) -> None:
        """As `deploy/` describes them; restores of accounts need all rights, as it says there."""
        if self._is_as_it_was("accounts"):
            return
        for name in self.passwords:
            self.server.query(f"DROP USER IF EXISTS {OURS}{name}@localhost")
        self.apply_recipe("backup-account.sql")
        self.apply_recipe("restore-account.sql")
        for name, password in self.passwords.items():
            self.server.query(f"ALTER USER {OURS}{name}@localhost IDENTIFIED BY %s ACCOUNT UNLOCK", (password,))
        self.server.query(f"GRANT ALL PRIVILEGES ON *.* TO {OURS}restore@localhost WITH GRANT OPTION")
        self._remember("accounts")

    def _is_as_it_was(self, what: str) -> bool:
        position = self._position()
        return position is not None and _prepared.get(self.server, {}).get(what) == position

    def _remember(self, *made: str) -> None:
        position = self._position()
        if position is not None:
            _prepared[self.server] = dict.fromkeys(made, position)

    def _position(self) -> tuple[str, int] | None:
        """Of the binary log, which begins a new file whenever the server starts; None without one."""
        status = self.server.query("SHOW MASTER STATUS")
        return status[0][:2] if status else None

    def apply_recipe(self, name: str) -> None:
        """As an administrator would, of `deploy/mariadb`."""
        self.server.run_script((_DEPLOY / name).read_text())

    def fill(self) -> None:
        """The server as every test finds it."""
        if not self.server.running:
            self.server.start()
        if not self._is_as_it_was("all"):
            self._fill()
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT authentication_string FROM mysql.user WHERE authentication_string NOT IN ('', 'invalid')")
            hashes = [row[0] for row in cursor.fetchall()]
        self.secrets = (*self.passwords.values(), self.server.password, "app's own; password", *hashes)

    def _fill(self) -> None:
        self.empty()
        self.make_accounts()
        self.server.run_script(_RICH.read_text())
        with self.server.connect("large") as connection, connection.cursor() as cursor:
            for _ in range(_LARGE_ROWS):
                cursor.execute("INSERT INTO random (data) VALUES (%s)", (os.urandom(_LARGE_ROW_BYTES),))
        self._remember("all", "accounts")

    def empty(self) -> None:
        with self.server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            cursor.execute("SHOW DATABASES")
            for (name,) in cursor.fetchall():
                if name not in SYSTEM:
                    cursor.execute(f"DROP DATABASE {quote(name)}")
            for user, host in list_accounts(connection):
                cursor.execute(*(("DROP USER %s@%s", (user, host)) if host else ("DROP ROLE %s", (user,))))

    async def content(self) -> Any:
        with self.server.connect() as connection:
            return read_content(connection)

    async def expected_counts(self) -> dict[str, int]:
        with self.server.connect() as connection:
            return count_rows(connection)

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        begun, ending = threading.Event(), threading.Event()
        failures: list[Exception] = []
        thread = threading.Thread(target=self._write, args=(begun, ending, failures), name="writer")
        thread.start()
        try:
            await asyncio.to_thread(begun.wait, 20)
            yield
        finally:
            ending.set()
            await asyncio.to_thread(thread.join)
        assert failures == []

    def writing(self) -> AbstractAsyncContextManager[None]:
        return self._writing()

    def _write(self, begun: threading.Event, ending: threading.Event, failures: list[Exception]) -> None:
        try:
            with self.server.connect() as connection, connection.cursor() as cursor:
                for number in range(100_000):
                    if number % 20 == 0:
                        cursor.execute(f"CREATE DATABASE meanwhile_{number}")
                        cursor.execute(f"CREATE TABLE meanwhile_{number}.t (id int PRIMARY KEY)")
                    cursor.execute("INSERT INTO shop.orders (customer, total) VALUES (1, %s)", (number,))
                    cursor.execute("INSERT INTO meanwhile_0.t VALUES (%s)", (number,))
                    begun.set()
                    if ending.wait(0.005):
                        return
        except pymysql.Error as exc:
            failures.append(exc)
            begun.set()

    def check_written_meanwhile(self, before: Any, restored: Any) -> None:
        assert before["accounts"] == restored["accounts"]
        for database, objects in before["databases"].items():
            after = restored["databases"][database]
            if database != "shop":
                assert after == objects
                continue
            assert {**after, "tables": None} == {**objects, "tables": None}
            orders, orders_after = objects["tables"].pop("orders"), after["tables"].pop("orders")
            assert after["tables"] == objects["tables"]
            assert set(orders[1]) < set(orders_after[1])
        numbers = [row[0] for row in restored["databases"]["meanwhile_0"]["tables"]["t"][1]]
        assert sorted(numbers) == list(range(len(numbers)))  # none is missing in between

    async def break_dump(self, source: DumpSource) -> None:
        assert isinstance(source, MariaDBDump)
        os.kill(source.pid, signal.SIGKILL)

    async def kill(self) -> None:
        self.server.kill()

    async def revive(self) -> None:
        self.server.start()

    async def leftovers(self) -> list[str]:
        await eventually(lambda: not self._sessions())
        databases = [row[0] for row in self.server.query("SHOW DATABASES") if "__re" in row[0]]
        files = [str(path) for name in ("run", "work") for path in (self.host_dir / name).iterdir()]
        if self.restore_dir:
            files += [str(path) for path in Path(self.restore_dir).glob("*strongroom*")]
            files += [str(path) for path in Path(self.restore_dir).glob(".*")]
        return databases + files

    def _sessions(self) -> list[Any]:
        """Of our drivers; one whose client was killed is there until the server notices."""
        return self.server.query("SELECT id FROM information_schema.processlist WHERE user LIKE 'strongroom%'")


class LogicalUnderTest(MariaDBUnderTest):
    """By mariadb-dump, restored into the same server."""

    def target(self, *, replace: bool = False) -> RestoreTarget:
        return RestoreTarget(project="acme", service="orders", node="db-1", replace=replace)

    async def content_of_target(self) -> Any:
        return await self.content()

    async def wipe(self) -> None:
        self.empty()

    async def change(self) -> None:
        self.server.run_script(
            "CREATE TABLE extra (id int); DROP VIEW taxed; DROP FUNCTION tax; DROP TRIGGER second;"
            "UPDATE orders SET total = 7;"
            "CREATE TRIGGER other AFTER DELETE ON parts FOR EACH ROW SET @x = 1; CREATE VIEW more AS SELECT 1 AS one;"
            "CREATE PROCEDURE more() SELECT 2; CREATE EVENT more ON SCHEDULE EVERY 1 HOUR DO SELECT 3; DROP EVENT nightly;"
            "ALTER DATABASE shop CHARACTER SET latin1; ALTER USER 'app'@'10.%' IDENTIFIED BY 'changed'; DROP ROLE writer;",
            database="shop",
        )

    async def occupy_target(self) -> None:
        pass

    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        return next(artifact for artifact in planned if artifact.name == "large")


class PhysicalUnderTest(MariaDBUnderTest):
    """By mariadb-backup, restored into a directory beside the server's own."""

    def __init__(self, server: MariaDBServer, host_dir: Path, options: MariaDBOptions) -> None:
        super().__init__(server, host_dir, options)
        restores = server.directory / "restores"
        shutil.rmtree(restores, ignore_errors=True)
        restores.mkdir()
        give_to_server(restores)
        self.restore_dir = str(restores)
        self.target_dir = restores / "restored"

    def target(self, *, replace: bool = False) -> RestoreTarget:
        return RestoreTarget(project="acme", service="orders", node="db-1", replace=replace, directory="restored")

    def server_at_target(self) -> MariaDBServer:
        directory = self.server.directory / "second"
        directory.mkdir(exist_ok=True)
        return MariaDBServer(directory, data_dir=self.target_dir, password=self.server.password)

    async def content_of_target(self) -> Any:
        if not self.target_dir.exists():
            return None
        second = self.server_at_target()
        try:
            await asyncio.to_thread(second.start)
            with second.connect() as connection:
                return read_content(connection)
        finally:
            second.stop()

    async def wipe(self) -> None:
        if self.target_dir.exists():
            shutil.rmtree(self.target_dir)
        self.empty()

    async def change(self) -> None:
        second = self.server_at_target()
        try:
            second.start()
            second.run_script("CREATE DATABASE changed; CREATE TABLE changed.t (id int); DROP DATABASE there;")
        finally:
            second.stop()

    async def occupy_target(self) -> None:
        template = self.server.directory / "template"
        if not template.exists():
            await asyncio.to_thread(self._make_template, template)
        await asyncio.to_thread(_copy, template / "data", self.target_dir)

    def _make_template(self, directory: Path) -> None:
        """Another server's data directory, made once for all tests."""
        directory.mkdir()
        other = MariaDBServer(directory, password=self.server.password)
        other.start()
        other.run_script("CREATE DATABASE there; CREATE TABLE there.t (id int);")
        other.stop()

    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        return next(artifact for artifact in planned if artifact.kind == "datadir")


def _copy(source: Path, destination: Path) -> None:
    """With owners."""
    subprocess.run(["cp", "-a", "--sparse=always", str(source), str(destination)], check=True)
