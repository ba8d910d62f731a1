"""MariaDB in the demo: a server of its own, and a second one that is started on the restored data directory."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import secrets
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.errors import RunFailed, Unavailable
from contracts.records import ArtifactRecord
from contracts.services import MariaDBOptions, ServiceOptions
from daemon.demo.engines.base import Opener, Room, Tell
from daemon.demo.processes import run_program, tool_environment
from daemon.demo.scripts import sql_script
from daemon.demo.snapshot import DatabaseSnapshot, TableContent
from daemon.embedded.children import Child, ChildSpec
from daemon.embedded.ports import LOOPBACK, start_with_free_ports
from daemon.embedded.private_files import make_private_dir, write_private

_PACKAGES: Final = {
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "mariadb": "mariadb-client",
    "mariadb-dump": "mariadb-client",
    "mariadb-backup": "mariadb-backup",
    "mbstream": "mariadb-backup",
}
_SERVER_DIRS: Final = "/usr/sbin:/usr/libexec:/usr/local/sbin"
_SERVER_USERS: Final = ("mysql", "nobody")
_FIXED_BYTES: Final = 28_000_000
"""What mariadb-backup makes of the server's own files and the small tables.  Measured, like the next."""
_ROW_BYTES: Final = 1_800
_BATCH_ROWS: Final = 5_000
_REDO: Final = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'innodb_checkpoint_age';"
_LITTLE_REDO_BYTES: Final = 1_000_000
_POLL_S: Final = 0.05
_START_TIMEOUT_S: Final = 120.0
_SETTINGS: Final = {
    "bind-address": LOOPBACK,
    "log-bin": "binlog",
    "server-id": "1",
    "performance-schema": "OFF",
    # The demo's data are made up: they need to outlive its server, not a power failure.
    "innodb-flush-log-at-trx-commit": "0",
    "innodb-flush-method": "nosync",
    "sync-binlog": "0",
    "innodb-buffer-pool-size": "64M",
}


class MariaDBEngine:
    """See `daemon.demo.engines.base.DemoEngine`."""

    kind = "mariadb"
    title = "a MariaDB server"
    data_title = "the databases of a small shop"

    def check(self) -> None:
        missing = [name for name in _PACKAGES if _find(name) is None]
        if os.geteuid() == 0 and shutil.which("setpriv") is None:
            missing.append("setpriv")
        if missing:
            packages = " ".join(sorted({_PACKAGES.get(name, "util-linux") for name in missing}))
            what = f"the demo of MariaDB needs programs that are not installed: {', '.join(missing)}"
            raise RunFailed("engine.tool_missing", f"{what}; apt-get install {packages}")
        _server_user()

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[MariaDBDemo]:
        _give(make_private_dir(folder))
        password_file = folder / "password"
        write_private(password_file, secrets.token_urlsafe(24))
        await _install(folder / "data", _tmp(folder))
        async with _server(folder, folder / "data", password_file, is_new=True) as server:
            yield MariaDBDemo(folder, server)


class MariaDBDemo:
    """See `daemon.demo.engines.base.DemoServer`."""

    options: ServiceOptions = MariaDBOptions()

    def __init__(self, folder: Path, server: _Server) -> None:
        self.place = f"{LOOPBACK}:{server.port}"
        self._folder = folder
        self._server = server
        self._restore_dir = folder / "restores"
        self._restore_dir.mkdir()
        _give(self._restore_dir)
        self.connection: Mapping[str, Any] = {
            "kind": MariaDBEngine.kind,
            "user": "root",
            "host": LOOPBACK,
            "port": server.port,
            "password_file": str(server.password_file),
            "restore_dir": str(self._restore_dir),
        }

    async def fill(self, size_bytes: int, tell: Tell) -> int:
        await self._server.run(sql_script("mariadb_shop"))
        rows = max(0, size_bytes - _FIXED_BYTES) // _ROW_BYTES
        tell(min(size_bytes, _FIXED_BYTES))
        for first in range(1, rows + 1, _BATCH_ROWS):
            last = min(first + _BATCH_ROWS - 1, rows)
            await self._server.run(
                "INSERT INTO shop.pictures (id, data) SELECT seq, CONCAT("  # noqa: S608 -- numbers of ours
                + ", ".join(f"UNHEX(SHA2(CONCAT('{part}', seq), 512))" for part in range(20))
                + f") FROM shop.seq_{first}_to_{last};"
            )
            tell(_FIXED_BYTES + last * _ROW_BYTES)
        await self._write_out()
        return await asyncio.to_thread(_bytes_in, self._folder / "data")

    async def _write_out(self) -> None:
        """Returns when nearly all is in the tables' files: what is only in the redo log would be backed up twice."""
        await self._server.run("SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0; SET GLOBAL innodb_max_dirty_pages_pct = 0;")
        async with asyncio.timeout(_START_TIMEOUT_S):
            while int((await self._server.run(_REDO))[0]) > _LITTLE_REDO_BYTES:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(_POLL_S)

    async def snapshot(self) -> DatabaseSnapshot:
        return await _snapshot(self._server)

    async def make_room(self) -> Room:
        return Room(
            words="into an empty directory, on which a second server is started",
            directory=str(self._restore_dir / "data"),
        )

    async def snapshot_restored(self) -> DatabaseSnapshot:
        folder = make_private_dir(self._folder / "second")
        _give(folder)
        restored = self._restore_dir / "data"
        async with _server(folder, restored, self._server.password_file, is_new=False) as server:
            return await _snapshot(server)

    def choose(self, artifacts: Sequence[ArtifactRecord]) -> ArtifactRecord:
        return next(artifact for artifact in artifacts if artifact.kind == "datadir")

    def opener(self, artifact: ArtifactRecord) -> Opener:
        del artifact
        opened = make_private_dir(self._folder / "opened")

        def describe(_: bytes) -> str:
            tables = {path.with_suffix("").relative_to(opened) for path in opened.rglob("*.frm")}
            files = sum(1 for path in opened.rglob("*") if path.is_file())
            return f"{files} files of a data directory, {len(tables)} tables among them"

        return Opener(
            argv=[_program("mbstream"), "-x", "-C", str(opened)],
            command="mbstream -x",
            magic=b"XBSTCK01",
            describe=describe,
        )


@dataclass(frozen=True)
class _Server:
    port: int
    password_file: Path

    async def run(self, sql: str) -> list[bytes]:
        """The lines that it gives.  Raises: Unavailable `engine.unreachable` with the client's words."""
        options = self.password_file.with_name("client.cnf")
        if not options.exists():
            password = self.password_file.read_text()
            lines = [
                "[client]",
                "user=root",
                f"host={LOOPBACK}",
                f"port={self.port}",
                "protocol=tcp",
                f'password="{password}"',
            ]
            write_private(options, "\n".join(lines) + "\n")
        argv = [
            _program("mariadb"), f"--defaults-file={options}", f"--port={self.port}", "--batch", "--raw",
            "--skip-column-names", "--comments", "--default-character-set=utf8mb4",
        ]  # fmt: skip
        ended, out = await run_program(argv, environment=tool_environment(), given=sql.encode())
        if ended.status != 0:
            raise Unavailable(
                "engine.unreachable", f"SQL in the demo's server failed: {ended.words}", detail=ended.stderr_tail
            )
        return out.splitlines()


@asynccontextmanager
async def _server(folder: Path, data_dir: Path, password_file: Path, *, is_new: bool) -> AsyncIterator[_Server]:
    """A running server, stopped in order on leaving; it dies with this process."""
    init_file = folder / "init.sql"
    if is_new:
        write_private(init_file, f"ALTER USER root@localhost IDENTIFIED BY '{password_file.read_text()}';\n")
        _give(init_file)

    async def start(ports: Sequence[int]) -> tuple[int, Child]:
        settings = {
            "datadir": str(data_dir),
            "port": str(ports[0]),
            # Relative to the data directory: a socket's path may have 107 bytes only.
            "socket": "server.sock",
            "pid-file": str(folder / "pid"),
            "tmpdir": str(_tmp(folder)),
            **({"init-file": str(init_file)} if is_new else {}),
            **_SETTINGS,
        }
        argv = [
            *_as_server_user(),
            _program("mariadbd"),
            "--no-defaults",
            *(f"--{name}={value}" for name, value in settings.items()),
        ]

        async def ready() -> bool:
            return await _greets(ports[0])

        child = Child(
            ChildSpec(
                name="mariadbd",
                argv=argv,
                directory=folder,
                ready=ready,
                error_code="engine.unreachable",
                environment=tool_environment(),
                ready_timeout_s=_START_TIMEOUT_S,
                stop_grace_s=_START_TIMEOUT_S,
            )
        )
        await child.start()
        return ports[0], child

    port, child = await start_with_free_ports(1, start)
    init_file.unlink(missing_ok=True)
    try:
        yield _Server(port, password_file)
    finally:
        await child.stop()


async def _greets(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    try:
        return bool(await reader.read(1))
    except OSError:
        return False
    finally:
        writer.close()


def _tmp(folder: Path) -> Path:
    """The server's own directory for temporary files, in its folder."""
    tmp = make_private_dir(folder / "tmp")
    _give(tmp)
    return tmp


async def _install(data_dir: Path, tmp: Path) -> None:
    user = _server_user()
    argv = [
        _program("mariadb-install-db"),
        "--no-defaults",
        f"--datadir={data_dir}",
        f"--tmpdir={tmp}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--skip-name-resolve",
        *([f"--user={user.pw_name}"] if user is not None else []),
    ]
    ended, out = await run_program(argv, environment=tool_environment())
    if ended.status != 0:
        words = (out.decode(errors="replace") + ended.stderr_tail)[-4000:]
        raise Unavailable("engine.unreachable", f"no demo server could be made: {ended.words}", detail=words)


async def _snapshot(server: _Server) -> DatabaseSnapshot:
    tables: dict[str, TableContent] = {}
    objects: dict[str, dict[str, str]] = {}
    columns: dict[str, list[str]] = {}
    for line in await server.run(sql_script("mariadb_catalogue")):
        kind, name, text = json.loads(line)
        if kind == "column":
            columns.setdefault(name, []).append(text)
        else:
            objects.setdefault(kind, {})[name] = str(text)
    for name, found in columns.items():
        row = f"MD5(CONCAT_WS(',', {', '.join(f'COALESCE(HEX({column}), 0)' for column in found)}))"
        select = f"SELECT COUNT(*), COALESCE(SUM(CAST(CONV(LEFT({row}, 12), 16, 10) AS UNSIGNED)), 0) FROM {name};"  # noqa: S608
        rows, content_sum = (await server.run(select))[0].decode().split("\t")
        tables[name] = TableContent(rows=int(rows), content_sum=content_sum)
    return DatabaseSnapshot(tables=tables, objects=objects)


def _find(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:{_SERVER_DIRS}")


def _program(name: str) -> str:
    found = _find(name)
    assert found is not None, f"{name} was there when it was checked"
    return found


def _server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as when the demo is run by root; None to stay who we are."""
    if os.geteuid() != 0:
        return None
    for name in _SERVER_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RunFailed(
        "engine.tool_missing",
        f"MariaDB must not run as root, and this host has none of the users {', '.join(_SERVER_USERS)}: run the demo as "
        "another user, or apt-get install mariadb-server",
    )


def _as_server_user() -> list[str]:
    """The words before a command that has to run as the server's user; a change of user clears the parent-death signal."""
    user = _server_user()
    if user is None:
        return []
    return [
        shutil.which("setpriv") or "setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
        "--pdeathsig=KILL", "--",
    ]  # fmt: skip


def _give(path: Path) -> None:
    user = _server_user()
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def _bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
