"""Physical backups: what they need of the server, which is looked for before the first byte, and WAL that must not go."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from agents.drivers.base import PlannedArtifact
from agents.drivers.postgresql.driver import PostgreSQLDriver
from agents.drivers.postgresql.physical.dump import END_MARK, FIRST_MEMBER, missing_mark
from contracts.errors import RunFailed
from contracts.services import PostgreSQLOptions
from tests.agents.drivers.playing import back_up, finish_dump, read_all
from tests.agents.drivers.postgresql.support import Host, program_dir, quoted, run_sql
from tests.servers.directories import server_directory
from tests.servers.postgres import PostgresCluster
from tests.servers.waiting import eventually, eventually_blocking

PHYSICAL = PostgreSQLOptions(method="physical")
NewRole = Callable[[str], tuple[str, str]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    """With little of everything that a physical backup needs of a server."""
    scarce = {"max_wal_senders": "2", "max_replication_slots": "2", "max_wal_size": "32MB", "min_wal_size": "32MB"}
    with server_directory("pg", in_memory=True) as directory:
        cluster = PostgresCluster(directory, scarce)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.discard()


@pytest.fixture
def host(cluster: PostgresCluster, tmp_path: Path) -> Host:
    return Host(cluster, tmp_path)


@pytest.fixture
def new_role(cluster: PostgresCluster) -> Iterator[NewRole]:
    names: list[str] = []

    def make(attributes: str) -> tuple[str, str]:
        name, password = cluster.create_role(attributes=attributes)
        names.append(name)
        return name, password

    yield make
    for name in names:
        cluster.query(f"DROP OWNED BY {quoted(name)}")
        cluster.query(f"DROP ROLE {quoted(name)}")


def driver_of(host: Host, user: tuple[str, str] = ("", ""), bin_dir: str = "") -> PostgreSQLDriver:
    return host.driver(host.connection(*user, bin_dir=bin_dir), PHYSICAL)


async def refusal(driver: PostgreSQLDriver) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        await driver.plan_backup()
    return caught.value


async def planned_by(driver: PostgreSQLDriver) -> PlannedArtifact:
    (planned,) = (await driver.plan_backup()).artifacts
    return planned


async def test_the_plan_is_one_artifact_whose_size_is_known(host: Host) -> None:
    backup = await back_up(driver_of(host))
    (planned,) = backup.plan.artifacts
    ((record, data),) = backup.artifacts
    assert (planned.name, planned.kind, planned.format) == ("cluster", "cluster", "pg_basebackup-tar")
    assert planned.suffix == "basebackup.tar.zst.age"
    assert 0.7 * len(data) <= planned.estimate_bytes <= 1.4 * len(data)
    assert backup.warnings == []
    version = host.cluster.query("SHOW server_version")[0][0]
    identifier = host.cluster.query("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    assert record.attributes == {
        "server_version": version,
        "tool_version": version.split()[0],
        "system_identifier": identifier,
        "taken_on": "primary",
        "has_configuration": True,
        "archives_wal": False,
    }
    assert backup.plan.inventory["system_identifier"] == identifier
    assert backup.plan.inventory["timeline"] == 1
    assert "/" in backup.plan.inventory["lsn"]
    assert backup.plan.tools.keys() == {"postgresql", "pg_basebackup", "psql"}


async def test_a_role_that_may_not_replicate_is_told_how_it_may(host: Host, new_role: NewRole) -> None:
    user = new_role("")
    found = await refusal(driver_of(host, user))
    assert found.code == "engine.permission"
    assert f'ALTER ROLE "{user[0]}" REPLICATION' in found.message


async def test_a_missing_replication_line_in_pg_hba_is_named(host: Host, new_role: NewRole) -> None:
    user = new_role("REPLICATION")
    file = host.cluster.data_dir / "pg_hba.conf"
    before = file.read_text()
    file.write_text(
        f"host all all 127.0.0.1/32 scram-sha-256\nhost replication {host.cluster.superuser} all scram-sha-256\n"
    )
    try:
        host.cluster.query("SELECT pg_reload_conf()")
        rules = "SELECT count(*) FROM pg_hba_file_rules"
        eventually_blocking(lambda: host.cluster.query(rules) == [(2,)])
        found = await refusal(driver_of(host, user))
    finally:
        file.write_text(before)
        host.cluster.query("SELECT pg_reload_conf()")
    assert found.code == "engine.auth_failed"
    assert "lets role" in found.message
    assert "physical-backup-role.sql" in found.message
    assert "no pg_hba.conf entry for replication" in (found.detail or "")


async def test_wal_senders_that_are_all_in_use_are_named_before_and_during_the_backup(host: Host) -> None:
    driver = driver_of(host)
    planned = await planned_by(driver)
    others = [psycopg.connect(host.cluster.dsn, replication="true", autocommit=True) for _ in range(2)]
    try:
        found = await refusal(driver)
        assert found.code == "engine.refused"
        assert "raise max_wal_senders" in found.message
        async with driver.dump(planned) as source:
            data = await asyncio.to_thread(read_all, source.fd)
            with pytest.raises(RunFailed) as caught:
                await finish_dump(source, data)
        assert caught.value.message == found.message
    finally:
        for other in others:
            other.close()


async def test_a_server_without_replication_says_what_to_set(tmp_path: Path) -> None:
    with server_directory("pg", in_memory=True) as directory:
        cluster = PostgresCluster(directory, {"wal_level": "minimal", "max_wal_senders": "0"})
        try:
            cluster.start()
            found = await refusal(driver_of(Host(cluster, tmp_path)))
        finally:
            cluster.discard()
    assert found.code == "engine.unsupported"
    assert "set wal_level = replica and max_wal_senders = 10" in found.message


async def test_tablespaces_of_its_own_are_refused_before_and_during_the_backup(host: Host) -> None:
    driver = driver_of(host)
    planned = await planned_by(driver)
    other = host.cluster.directory / "elsewhere"
    other.mkdir()
    os.chown(other, host.cluster.data_dir.stat().st_uid, -1)
    host.cluster.query(f"CREATE TABLESPACE \"Far away\" LOCATION '{other}'")
    try:
        found = await refusal(driver)
        assert found.code == "engine.unsupported"
        assert "(Far away)" in found.message
        assert "method to logical" in found.message
        async with driver.dump(planned) as source:
            data = await asyncio.to_thread(read_all, source.fd)
            with pytest.raises(RunFailed, match="tablespaces of its own") as caught:
                await finish_dump(source, data)
        assert caught.value.code == "engine.unsupported"
    finally:
        host.cluster.query('DROP TABLESPACE "Far away"')


async def test_a_role_with_replication_alone_can_back_up_but_is_told_what_it_cannot_see(
    host: Host, new_role: NewRole
) -> None:
    user = new_role("REPLICATION")
    run_sql(host.cluster, "postgres", "CREATE TABLE closed AS SELECT 1 AS i; CREATE UNLOGGED TABLE lost AS SELECT 1 AS i")
    host.cluster.query("CREATE DATABASE hidden")
    host.cluster.query("REVOKE CONNECT ON DATABASE hidden FROM PUBLIC")
    try:
        backup = await back_up(driver_of(host, user))
    finally:
        host.cluster.query("DROP DATABASE hidden")
        run_sql(host.cluster, "postgres", "DROP TABLE closed, lost")
    assert backup.plan.inventory["counts"] == {}
    assert backup.warnings == [
        (
            f"role '{user[0]}' may not know the size of 'hidden', so the backup will be larger than estimated: "
            "GRANT pg_read_all_stats to it, see deploy/postgresql/physical-backup-role.sql"
        ),
        f"role '{user[0]}' may not connect to 'hidden': what is in there is backed up, but not listed",
        "'postgres': the rows of 1 unlogged table(s) are not in a physical backup",
    ]


def fall_far_behind(cluster: PostgresCluster) -> None:
    """The server writes and recycles WAL as after hours, while a backup waits for its reader."""
    run_sql(cluster, "postgres", "CREATE TABLE churn (x text)")
    for _ in range(6):
        run_sql(cluster, "postgres", "INSERT INTO churn SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
        run_sql(cluster, "postgres", "SELECT pg_switch_wal()")
        run_sql(cluster, "postgres", "CHECKPOINT")
    run_sql(cluster, "postgres", "DROP TABLE churn")


def set_wal_keep_size(cluster: PostgresCluster, size: str) -> None:
    cluster.query(f"ALTER SYSTEM SET wal_keep_size = '{size}'")
    cluster.query("SELECT pg_reload_conf()")
    eventually_blocking(lambda: cluster.query("SHOW wal_keep_size") == [(size,)])


async def test_wal_of_the_backups_own_time_is_kept_however_long_it_takes(host: Host) -> None:
    driver = driver_of(host)
    async with driver.dump(await planned_by(driver)) as source:
        data = await asyncio.to_thread(os.read, source.fd, 65536)
        assert host.cluster.query("SELECT temporary FROM pg_replication_slots") == [(True,)]
        await asyncio.to_thread(fall_far_behind, host.cluster)
        data += await asyncio.to_thread(read_all, source.fd)
        assert await finish_dump(source, data) == []
    assert host.cluster.query("SELECT slot_name FROM pg_replication_slots") == []


async def test_without_a_slot_the_backup_goes_on_and_wal_that_is_gone_is_explained(host: Host) -> None:
    for name in ("one", "two"):
        host.cluster.query("SELECT pg_create_physical_replication_slot(%s)", [name])
    set_wal_keep_size(host.cluster, "512MB")
    try:
        driver = driver_of(host)
        planned = await planned_by(driver)
        async with driver.dump(planned) as source:
            data = await asyncio.to_thread(read_all, source.fd)
            (warning,) = await finish_dump(source, data)
        assert "the server gave no replication slot" in warning
        assert "all replication slots are in use" in warning
        set_wal_keep_size(host.cluster, "0")
        async with driver.dump(planned) as source:
            data = await asyncio.to_thread(os.read, source.fd, 65536)
            await asyncio.to_thread(fall_far_behind, host.cluster)
            data += await asyncio.to_thread(read_all, source.fd)
            with pytest.raises(RunFailed) as caught:
                await finish_dump(source, data)
    finally:
        for name in ("one", "two"):
            host.cluster.query("SELECT pg_drop_replication_slot(%s)", [name])
    assert caught.value.code == "dump.failed", caught.value.detail
    assert "removed WAL of the backup's own time before it was sent" in caught.value.message
    assert "wal_keep_size" in caught.value.message


async def test_an_agent_that_is_killed_leaves_no_slot(host: Host) -> None:
    driver = driver_of(host)
    planned = await planned_by(driver)
    async with driver.dump(planned) as source:
        await asyncio.to_thread(os.read, source.fd, 65536)
        (pid,) = host.cluster.query("SELECT active_pid FROM pg_replication_slots")[0]
        assert host.cluster.query("SELECT pg_terminate_backend(%s)", [pid]) == [(True,)]
        await eventually(lambda: host.cluster.query("SELECT slot_name FROM pg_replication_slots") == [])


async def test_counts_are_of_tables_that_nobody_changed_meanwhile(host: Host) -> None:
    run_sql(host.cluster, "postgres", "CREATE TABLE still AS SELECT 1 AS i; CREATE TABLE busy AS SELECT 1 AS i")
    try:
        driver = driver_of(host)
        plan = await driver.plan_backup()
        assert plan.inventory["counts"] == {"postgres.public.still": 1, "postgres.public.busy": 1}
        async with driver.holding(plan):
            run_sql(host.cluster, "postgres", "INSERT INTO busy VALUES (2); DELETE FROM busy WHERE i = 1")
            written = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'busy'"
            await eventually(lambda: host.cluster.query(written) == [(1,)])
            await driver.finish_backup(plan)
        assert plan.inventory["counts"] == {"postgres.public.still": 1}
    finally:
        run_sql(host.cluster, "postgres", "DROP TABLE still, busy")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "it wrote nothing"),
        ("echo hello; exit 0", "does not begin with a backup_label"),
        ('{real}/pg_basebackup "$@" | head -c 5000; exit 0', "it has only 5000 bytes"),
        ('{real}/pg_basebackup "$@" | head -c 5000192; exit 0', "the mark at the end of the archive is missing"),
    ],
)
async def test_a_tool_that_ends_well_without_a_whole_archive_is_not_believed(
    host: Host, tmp_path: Path, real_bin: Path, script: str, words: str
) -> None:
    fake = program_dir(tmp_path / "bin", {"pg_basebackup": _script(script, real_bin)}, real_bin)
    driver = driver_of(host, bin_dir=str(fake))
    async with driver.dump(await planned_by(driver)) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, data)
    assert caught.value.code == "dump.incomplete"
    assert words in caught.value.message


async def test_damaged_pages_of_the_server_fail_the_backup_with_advice(host: Host, tmp_path: Path, real_bin: Path) -> None:
    words = 'WARNING:  checksum verification failed in file "./base/5/1259", block 0\npg_basebackup: error: checksum error'
    fake = program_dir(tmp_path / "bin", {"pg_basebackup": _script(f"echo '{words}' >&2; exit 1", real_bin)}, real_bin)
    driver = driver_of(host, bin_dir=str(fake))
    async with driver.dump(await planned_by(driver)) as source:
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, await asyncio.to_thread(read_all, source.fd))
    assert caught.value.code == "dump.failed"
    assert "the server's own data are damaged" in caught.value.message
    assert "base/5/1259" in (caught.value.detail or "")


def test_a_whole_archive_has_its_marks() -> None:
    head = FIRST_MEMBER.ljust(257, b"\0") + b"ustar"
    assert missing_mark(2 * 1024 * 1024, head, END_MARK) == ""
    assert missing_mark(2 * 1024 * 1024 + 1, head, END_MARK)
    assert missing_mark(2 * 1024 * 1024, head, END_MARK[:-1] + b"x")


def _script(text: str, real_bin: Path) -> str:
    versions = f'#!/bin/sh\n[ "$1" = --version ] && exec {real_bin}/pg_basebackup --version\n'
    return versions + text.replace("{real}", str(real_bin)) + "\n"
