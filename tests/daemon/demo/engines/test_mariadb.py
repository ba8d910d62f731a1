"""The demo's MariaDB: it runs, its data are the same each time, and what is there can be told from what is not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agents.drivers.kinds import Connection
from agents.drivers.mariadb.driver import MariaDBDriver
from contracts.errors import RunFailed
from contracts.records import RestoreTarget
from contracts.services import MariaDBOptions
from daemon.demo.engines import mariadb
from daemon.demo.engines.mariadb import MariaDBEngine
from tests.agents.drivers.playing import back_up, restore
from tests.servers.directories import server_directory

_SIZE = 45_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_directory("mariadb") as path:
        path.chmod(0o711)
        yield path


async def test_data_are_made_backed_up_and_found_again_in_the_restored_directory(folder: Path) -> None:
    engine = MariaDBEngine()
    engine.check()
    told: list[int] = []
    async with engine.running(folder / "server") as server:
        assert await server.fill(_SIZE, told.append) > 1_000_000
        assert told == sorted(told)
        before = await server.snapshot()
        assert before.tables["`shop`.`customers`"].rows == 2000
        assert set(before.objects) >= {"view", "trigger", "routine", "event", "sequence", "account", "role", "index"}

        work = folder / "agent"
        work.mkdir()
        connection = msgspec.convert(dict(server.connection), type=Connection)
        assert isinstance(server.options, MariaDBOptions)
        driver = MariaDBDriver(connection, server.options, runtime_dir=work, work_dir=work)
        backup = await back_up(driver)
        chosen = server.choose(backup.records)
        assert 0.8 * _SIZE < len(backup.data_of(chosen)) < 1.2 * _SIZE
        opener = server.opener(chosen)
        assert backup.data_of(chosen).startswith(opener.magic)
        subprocess.run(opener.argv, input=backup.data_of(chosen), check=True)
        assert "files of a data directory, " in opener.describe(b"")
        room = await server.make_room()
        target = RestoreTarget(project="acme", service="shop", node="here", directory=room.directory, replace=room.replace)
        await restore(driver, backup, target)
        assert await server.snapshot_restored() == before
    assert (folder / "server" / "data" / "ibdata1").exists()


def test_missing_programs_are_all_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for program in ("mariadb", "mariadb-dump", "setpriv"):
        (tmp_path / program).symlink_to(shutil.which(program) or "/bin/false")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mariadb, "_SERVER_DIRS", str(tmp_path))
    with pytest.raises(RunFailed, match="mariadbd, mariadb-install-db, mariadb-backup, mbstream; apt-get install mariadb-b"):
        MariaDBEngine().check()
