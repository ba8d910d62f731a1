"""Restoring a data directory: where, whose, and what is in it afterwards."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from contracts.errors import Conflict, Corrupt, InvalidInput, RunFailed
from contracts.records import RestoreTarget
from contracts.services import MariaDBOptions
from tests.agents.drivers.mariadb.engine import PhysicalUnderTest
from tests.agents.drivers.playing import Backup, back_up, feed, restore
from tests.servers.directories import server_directory
from tests.servers.mariadb import MariaDBServer, give_to_server


def target(directory: str, *, replace: bool = False) -> RestoreTarget:
    return RestoreTarget(project="acme", service="orders", node="db-1", directory=directory, replace=replace)


async def test_the_directory_belongs_to_the_server_s_user_and_says_where_the_backup_was(
    physical: PhysicalUnderTest,
) -> None:
    backup = await back_up(physical.driver())
    outcomes = await restore(physical.restoring_driver(), backup, target("a"))
    outcome = outcomes[0]
    file, position, *_ = physical.server.query("SHOW MASTER STATUS")[0]
    assert outcome["directory"] == f"{physical.restore_dir}/a"
    assert outcome["binlog_file"] == file
    assert int(str(outcome["binlog_position"])) <= position
    assert str(outcome["gtid_slave_pos"]).startswith("0-1-")
    exact = {"binlog_file": file, "binlog_position": outcome["binlog_position"], "gtid_slave_pos": outcome["gtid_slave_pos"]}
    assert {**backup.plan.inventory["position"], **exact} == backup.plan.inventory["position"]
    assert outcome["in_place"] == outcome["directory"]
    assert outcome["warnings"] == []
    restored = Path(physical.restore_dir) / "a"
    owner = physical.server.data_dir.stat().st_uid
    assert {path.lstat().st_uid for path in (restored, *restored.rglob("*"))} == {owner}
    assert restored.stat().st_mode & 0o077 == 0
    assert "GTID of the last change" in (restored / "xtrabackup_info").read_text()
    assert outcomes[1] == {"accounts": "in the data directory", "warnings": []}


async def test_several_threads_read_the_same(physical: PhysicalUnderTest) -> None:
    before = await physical.content()
    driver = physical.driver_of(physical.connection("backup"), MariaDBOptions(parallel=3))
    backup = await back_up(driver)
    await restore(physical.restoring_driver(), backup, physical.target())
    assert await physical.content_of_target() == before


async def test_a_restore_needs_no_server(physical: PhysicalUnderTest) -> None:
    before = await physical.content()
    backup = await back_up(physical.driver())
    await physical.kill()
    await restore(physical.restoring_driver(), backup, physical.target())
    # The driver cannot know whom the tests' server runs as where there is no user `mysql`.
    subprocess.run(["chown", "-R", f"--reference={physical.server.data_dir}", str(physical.target_dir)], check=True)
    assert await physical.content_of_target() == before


@pytest.mark.parametrize("directory", ["/etc", "../elsewhere", "."])
async def test_only_directories_that_the_host_allows_can_be_chosen(
    restoring: PhysicalUnderTest, physical_backup: Backup, directory: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await restoring.restoring_driver().check_restore(physical_backup.records, target(directory))
    assert caught.value.field == "directory"


async def test_a_backup_of_a_directory_needs_one(restoring: PhysicalUnderTest, physical_backup: Backup) -> None:
    with pytest.raises(InvalidInput, match="name one with --directory"):
        await restoring.restoring_driver().check_restore(physical_backup.records, target(""))
    restoring.restore_dir = ""
    with pytest.raises(RunFailed, match="set restore_dir"):
        await restoring.restoring_driver().check_restore(physical_backup.records, target("a"))


async def test_a_directory_that_a_server_runs_on_is_never_replaced(
    restoring: PhysicalUnderTest, physical_backup: Backup
) -> None:
    await restoring.occupy_target()
    second = restoring.server_at_target()
    second.start()
    try:
        with pytest.raises(RunFailed, match=r"a MariaDB server runs on .*restored: stop it") as caught:
            await restoring.restoring_driver().check_restore(physical_backup.records, restoring.target(replace=True))
        assert caught.value.code == "restore.failed"
    finally:
        second.stop()
    await restoring.restoring_driver().check_restore(physical_backup.records, restoring.target(replace=True))


async def test_a_server_that_is_started_meanwhile_keeps_its_directory(
    restoring: PhysicalUnderTest, physical_backup: Backup
) -> None:
    await restoring.occupy_target()
    second = restoring.server_at_target()

    async def start() -> None:
        second.start()

    record, data = physical_backup.artifacts[0]
    driver = restoring.restoring_driver()
    try:
        async with driver.restore(record, restoring.target(replace=True), "20261122T000512Z-cccc", confirm=start) as sink:
            await feed(sink, data)
            with pytest.raises(RunFailed, match="a MariaDB server runs on"):
                await sink.finish()
        assert second.query("SHOW TABLES FROM there") == [("t",)]
    finally:
        second.stop()


async def test_a_directory_that_somebody_fills_meanwhile_is_left_alone(
    restoring: PhysicalUnderTest, physical_backup: Backup
) -> None:

    async def fill() -> None:
        restoring.target_dir.mkdir()
        (restoring.target_dir / "theirs").touch()

    record, data = physical_backup.artifacts[0]
    async with restoring.restoring_driver().restore(
        record, restoring.target(), "20261122T000512Z-cccc", confirm=fill
    ) as sink:
        await feed(sink, data)
        with pytest.raises(Conflict):
            await sink.finish()
    assert [path.name for path in restoring.target_dir.iterdir()] == ["theirs"]
    assert await restoring.leftovers() == []


async def test_tables_outside_the_data_directory_come_inside(physical: PhysicalUnderTest) -> None:
    """A link to where they were would have two servers write to the same file."""
    elsewhere = physical.server.directory / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    give_to_server(elsewhere)
    physical.server.query(f"CREATE TABLE shop.far (id int) DATA DIRECTORY = '{elsewhere}'")
    physical.server.query("INSERT INTO shop.far VALUES (7)")
    backup = await back_up(physical.driver())
    assert "tables outside the data directory will be restored into it: shop/far" in backup.warnings
    (outcome, _) = await restore(physical.restoring_driver(), backup, physical.target())
    assert outcome["warnings"] == ["tables that lay outside the data directory are inside now: shop.far"]
    physical.server.query("UPDATE shop.far SET id = 8")
    restored = await physical.content_of_target()
    assert restored["databases"]["shop"]["tables"]["far"][1] == [(7,)]


async def test_a_backup_of_another_series_is_refused(restoring: PhysicalUnderTest, physical_backup: Backup) -> None:
    other = msgspec.structs.replace(physical_backup.records[0], attributes={"server_version": "11.4.2-MariaDB"})
    with pytest.raises(RunFailed, match=r"the backup is of a server of version 11.4.2-MariaDB: install mariadb-backup 11.4"):
        await restoring.restoring_driver().check_restore([other], restoring.target())


async def test_a_directory_without_room_is_refused_beforehand(restoring: PhysicalUnderTest, physical_backup: Backup) -> None:
    huge = msgspec.structs.replace(physical_backup.records[0], plain_bytes=10**18)
    with pytest.raises(RunFailed, match="make room, or name another place"):
        await restoring.restoring_driver().check_restore([huge], restoring.target())


@pytest.mark.parametrize("cut", [0, 1000, -1])
async def test_a_stream_that_is_cut_anywhere_is_damaged(
    restoring: PhysicalUnderTest, physical_backup: Backup, cut: int
) -> None:
    record, data = physical_backup.artifacts[0]
    end = cut if cut >= 0 else data.rindex(b"XBSTCK01", 0, data.rindex(b"xtrabackup_info") - 200)
    async with restoring.restoring_driver().restore(record, restoring.target(), "20261122T000512Z-cccc") as sink:
        await feed(sink, data[:end])
        with pytest.raises(Corrupt, match="the artifact is damaged or ends too early"):
            await sink.finish()
    assert not restoring.target_dir.exists()
    assert await restoring.leftovers() == []


async def test_an_agent_that_may_not_read_the_data_directory_says_who_could(
    physical: PhysicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = os.access
    closed = str(physical.server.data_dir)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(closed) and really(path, mode))
    with pytest.raises(RunFailed, match=r"cannot read the server's data directory .*set method to logical") as caught:
        await physical.driver().plan_backup()
    assert caught.value.code == "engine.permission"


async def test_a_server_with_other_files_of_innodb_comes_back(tmp_path: Path) -> None:
    """Its page size and system tablespace are in what the backup says of itself, and a rehearsal goes by that."""
    with server_directory("mariadb", in_memory=True) as directory:
        server = MariaDBServer(
            directory,
            {"innodb-undo-tablespaces": "3", "innodb-data-file-path": "ibdata1:12M;ibdata2:12M:autoextend"},
        )
        try:
            server.start()
            engine = PhysicalUnderTest(server, tmp_path, MariaDBOptions(users=False))
            engine.make_accounts()
            server.run_script("CREATE DATABASE d; CREATE TABLE d.t (id int); INSERT INTO d.t VALUES (1), (2);")
            backup: Backup = await back_up(engine.driver())
            room = tmp_path / "scratch"
            room.mkdir(mode=0o700)
            async with engine.driver().scratch(room) as scratch:
                await restore(scratch.driver, backup, scratch.target)
                assert (await scratch.inventory())["counts"] == {"d.t": 2}
        finally:
            server.kill()
