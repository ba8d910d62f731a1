"""Restoring a data directory: where it may go, what is verified, and what is said to whoever starts it."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from agents.drivers.postgresql.driver import PostgreSQLDriver
from agents.drivers.postgresql.physical.restore import running_server
from contracts.errors import Conflict, Corrupt, RunFailed, StrongroomError
from contracts.native_restore import native_restore_commands
from contracts.records import Attributes, RestoreTarget
from contracts.services import PostgreSQLOptions
from tests.agents.drivers.playing import RUN_ID, Backup, back_up, restore
from tests.agents.drivers.postgresql.support import Host, database_record, program_dir, run_sql
from tests.servers.directories import server_directory
from tests.servers.postgres import PostgresCluster, PostgresReplica, RestoredCluster
from tests.servers.tools import pg_bin, tool
from tests.servers.waiting import eventually

PHYSICAL = PostgreSQLOptions(method="physical")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with server_directory("pg", in_memory=True) as directory:
        directory.chmod(0o755)
        yield directory


@pytest.fixture(scope="module")
def cluster(place: Path) -> Iterator[PostgresCluster]:
    (place / "a").mkdir()
    cluster = PostgresCluster(place / "a", {"full_page_writes": "on"})  # as backups of replicas ask for
    try:
        cluster.start()
        run_sql(cluster, "postgres", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")
        yield cluster
    finally:
        cluster.discard()


@pytest.fixture
def restore_dir(place: Path, cluster: PostgresCluster) -> Iterator[Path]:
    path = place / "restores"
    path.mkdir()
    shutil.chown(path, cluster.data_dir.stat().st_uid)
    yield path
    shutil.rmtree(path)


def driver_of(cluster: PostgresCluster, tmp_path: Path, restore_dir: Path | str, bin_dir: str = "") -> PostgreSQLDriver:
    host = Host(cluster, tmp_path)
    return host.driver(host.connection(restore_dir=str(restore_dir), bin_dir=bin_dir), PHYSICAL)


@pytest.fixture
def driver(cluster: PostgresCluster, tmp_path: Path, restore_dir: Path) -> PostgreSQLDriver:
    return driver_of(cluster, tmp_path, restore_dir)


@pytest.fixture(scope="module")
def backup(cluster: PostgresCluster, place: Path) -> Backup:
    """Of the cluster as all tests leave it."""
    return asyncio.run(back_up(driver_of(cluster, place, "")))


def to(directory: str, *, replace: bool = False, **fields: object) -> RestoreTarget:
    values = {"directory": directory, "replace": replace, **fields}
    return msgspec.convert({"project": "acme", "service": "orders", "node": "node-1", **values}, RestoreTarget)


async def refusal(driver: PostgreSQLDriver, backup: Backup, target: RestoreTarget) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        await driver.check_restore(backup.records, target)
    return caught.value


def warnings_of(outcomes: list[Attributes]) -> list[str]:
    warnings = outcomes[0]["warnings"]
    assert isinstance(warnings, list)
    return warnings


async def test_a_restored_directory_is_its_servers_own_and_says_how_to_start_it(
    driver: PostgreSQLDriver, cluster: PostgresCluster, backup: Backup, restore_dir: Path
) -> None:
    outcomes = await restore(driver, backup, to("main"))
    directory = restore_dir / "main"
    assert outcomes[0]["in_place"] == str(directory)
    (advice,) = warnings_of(outcomes)
    owner = directory.owner()
    assert f"nothing was started: as user {owner}, start it with PostgreSQL 15" in advice
    assert f"pg_ctl -D {directory} start" in advice
    status = directory.stat()
    assert stat.S_IMODE(status.st_mode) == 0o700
    assert {path.stat().st_uid for path in directory.rglob("*")} == {cluster.data_dir.stat().st_uid}
    assert rows_in(directory, cluster) == [(1000,)]


async def test_where_it_goes_is_decided_by_this_host(
    driver: PostgreSQLDriver, cluster: PostgresCluster, backup: Backup, tmp_path: Path, restore_dir: Path
) -> None:
    outside = await refusal(driver, backup, to("/etc/postgresql"))
    assert (outside.code, outside.field) == ("input.invalid", "directory")
    unnamed = await refusal(driver, backup, to(""))
    assert (unnamed.code, unnamed.field) == ("input.invalid", "directory")
    renamed = await refusal(driver, backup, to("main", rename={"cluster": "x"}))
    assert (renamed.code, renamed.field) == ("input.invalid", "rename")
    nowhere = await refusal(driver_of(cluster, tmp_path, ""), backup, to("main"))
    assert nowhere.code == "restore.failed"
    assert "set restore_dir" in nowhere.message
    orphan = await refusal(driver, backup, to("not/there"))
    assert f"{restore_dir}/not does not exist" in orphan.message


async def test_a_directory_on_which_a_server_runs_is_left_alone_whatever_was_said(
    driver: PostgreSQLDriver, cluster: PostgresCluster, backup: Backup, restore_dir: Path
) -> None:
    await restore(driver, backup, to("main"))
    running = RestoredCluster(restore_dir / "main", cluster)
    try:
        running.start()
        found = await refusal(driver, backup, to("main", replace=True))
        assert found.code == "restore.failed"
        assert f"a server runs on {restore_dir}/main (process {running.pid}): stop it first" in found.message
    finally:
        running.kill()
    await eventually(lambda: running_server(restore_dir / "main") is None)  # its children outlive it for a moment
    # What a killed server leaves does not stand in the way of a restore that may replace it.
    await driver.check_restore(backup.records, to("main", replace=True))
    assert isinstance(await refusal(driver, backup, to("main")), Conflict)


async def test_a_server_in_a_container_is_found_though_it_has_noted_another_number(
    driver: PostgreSQLDriver, backup: Backup, restore_dir: Path
) -> None:
    """A process that works in there stands for it: its number in here is another one than it knows."""
    directory = restore_dir / "main"
    directory.mkdir()
    (directory / "postmaster.pid").write_text(f"{os.getpid()}\n/var/lib/postgresql/data\n")
    server = await asyncio.create_subprocess_exec(tool("sleep"), "60", cwd=directory)
    try:
        found = await refusal(driver, backup, to("main", replace=True))
    finally:
        server.kill()
        await server.wait()
    assert f"a server runs on {directory} (process {server.pid})" in found.message
    await driver.check_restore(backup.records, to("main", replace=True))


async def test_a_target_that_filled_up_meanwhile_is_left_alone(
    driver: PostgreSQLDriver, backup: Backup, restore_dir: Path
) -> None:
    async def slow() -> None:
        (restore_dir / "main").mkdir()
        (restore_dir / "main" / "precious").write_text("data")

    with pytest.raises(Conflict) as caught:
        await restore(driver, backup, to("main"), confirm=slow)
    assert caught.value.code == "restore.target_not_empty"
    assert [path.name for path in (restore_dir / "main").iterdir()] == ["precious"]
    assert [path.name for path in restore_dir.iterdir()] == ["main"]


async def test_an_archive_that_ends_between_two_files_is_refused(
    driver: PostgreSQLDriver, backup: Backup, restore_dir: Path
) -> None:
    ((record, data),) = backup.artifacts
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        last = archive.getmember("backup_manifest").offset
    cut = msgspec.structs.replace(record, plain_bytes=last)
    with pytest.raises(Corrupt, match="backup_manifest is missing") as caught:
        await restore(driver, Backup(plan=backup.plan, artifacts=[(cut, data[:last])], warnings=[]), to("main"))
    assert caught.value.code == "artifact.corrupt"
    assert list(restore_dir.iterdir()) == []


async def test_a_file_that_is_not_as_the_server_sent_it_is_refused(
    driver: PostgreSQLDriver, backup: Backup, restore_dir: Path
) -> None:
    ((record, data),) = backup.artifacts
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.getmember("global/pg_control")
    changed = bytearray(data)
    changed[member.offset_data + 100] ^= 1
    with pytest.raises(Corrupt) as caught:
        await restore(driver, Backup(plan=backup.plan, artifacts=[(record, bytes(changed))], warnings=[]), to("main"))
    assert caught.value.code == "artifact.corrupt"
    assert "is not what the server sent" in caught.value.message
    assert "pg_control" in (caught.value.detail or "")
    assert list(restore_dir.iterdir()) == []


async def test_without_the_servers_programs_files_are_verified_but_not_the_wal(
    cluster: PostgresCluster, tmp_path: Path, backup: Backup, restore_dir: Path, real_bin: Path
) -> None:
    client_only = program_dir(tmp_path / "bin", {}, real_bin)
    (client_only / "pg_waldump").unlink()
    outcomes = await restore(driver_of(cluster, tmp_path, restore_dir, str(client_only)), backup, to("main"))
    assert "the backup's WAL was not read through, only its files verified" in warnings_of(outcomes)[0]
    (client_only / "pg_verifybackup").unlink()
    outcomes = await restore(driver_of(cluster, tmp_path, restore_dir, str(client_only)), backup, to("other"))
    assert "the files were not verified against the backup's manifest" in warnings_of(outcomes)[0]


async def test_a_backup_that_does_not_fit_is_refused_before_it_is_fetched(
    driver: PostgreSQLDriver, backup: Backup, restore_dir: Path
) -> None:
    ((record, data),) = backup.artifacts
    huge = msgspec.structs.replace(record, plain_bytes=10**18)
    found = await refusal(driver, Backup(plan=backup.plan, artifacts=[(huge, data)], warnings=[]), to("main"))
    assert found.code == "restore.failed"
    assert f"the file system of {restore_dir}/main has" in found.message


async def test_a_replicas_backup_becomes_a_server_of_its_own(
    cluster: PostgresCluster, place: Path, tmp_path: Path, restore_dir: Path
) -> None:
    (place / "b").mkdir()
    replica = PostgresReplica(place / "b", cluster)
    try:
        replica.start()
        run_sql(cluster, "postgres", "INSERT INTO t SELECT generate_series(1001, 1100)")
        await eventually(lambda: replica.query("SELECT count(*) FROM t") == [(1100,)])
        driver = driver_of(replica, tmp_path, restore_dir)
        backup = await back_up(driver)
    finally:
        replica.discard()
        shutil.rmtree(place / "b")
    assert backup.plan.inventory["role"] == "replica"
    assert backup.plan.summary["role"] == "replica"
    outcomes = await restore(driver, backup, to("main"))
    assert any("its standby.signal was removed" in warning for warning in warnings_of(outcomes))
    assert rows_in(restore_dir / "main", cluster) == [(1100,)]
    run_sql(cluster, "postgres", "DELETE FROM t WHERE i > 1000")


async def test_a_rehearsal_of_a_replicas_backup_follows_nobody(
    driver: PostgreSQLDriver, cluster: PostgresCluster, tmp_path: Path
) -> None:
    """Whatever the cluster was set up to do, a scratch server does none of it."""
    touched = tmp_path / "touched"
    for setting in (f"archive_command = 'touch {touched}'", f"restore_command = 'touch {touched}'", "archive_timeout = 1"):
        cluster.query(f"ALTER SYSTEM SET {setting}")
    cluster.query("ALTER SYSTEM SET primary_conninfo = 'host=nobody.invalid'")
    cluster.query("ALTER SYSTEM SET shared_preload_libraries = 'no_such_library'")
    cluster.query("ALTER SYSTEM SET listen_addresses = '*'")
    try:
        backup = await back_up(driver)
    finally:
        cluster.query("ALTER SYSTEM RESET ALL")
    scratch_dir = tmp_path / "scratch"
    scratch_dir.mkdir(mode=0o700)
    async with driver.scratch(scratch_dir) as scratch:
        await restore(scratch.driver, backup, scratch.target)
        inventory = await scratch.inventory()
    assert inventory["counts"] == backup.plan.inventory["counts"] == {"postgres.public.t": 1000}
    assert inventory["role"] == "primary"
    assert not touched.exists()
    assert list(scratch_dir.iterdir()) == []


async def test_a_rehearsal_of_a_directory_that_does_not_start_says_why(
    driver: PostgreSQLDriver, backup: Backup, tmp_path: Path
) -> None:
    scratch_dir = tmp_path / "scratch"
    scratch_dir.mkdir(mode=0o700)
    async with driver.scratch(scratch_dir) as scratch:
        await restore(scratch.driver, backup, scratch.target)
        (scratch_dir / "restored" / "global" / "pg_control").write_bytes(bytes(8192))
        with pytest.raises(RunFailed) as caught:
            await scratch.inventory()
    assert caught.value.code == "restore.failed"
    assert "instead of taking connections" in caught.value.message
    assert caught.value.detail
    assert list(scratch_dir.iterdir()) == []


async def test_a_rehearsal_of_another_methods_backup_never_touches_the_service(
    driver: PostgreSQLDriver, cluster: PostgresCluster, backup: Backup, tmp_path: Path
) -> None:
    logical = database_record("lost", owner="absent role", roles=["absent role"], owners=["absent role"])
    by_now_logical = Host(cluster, tmp_path).driver()
    for name, rehearsing, records in (("a", driver, [logical]), ("b", by_now_logical, backup.records)):
        scratch_dir = tmp_path / name
        scratch_dir.mkdir(mode=0o700)
        async with rehearsing.scratch(scratch_dir) as scratch:
            with pytest.raises(RunFailed, match=r"the service's is (physical|logical) now") as caught:
                await scratch.driver.check_restore(records, scratch.target)
            assert caught.value.code == "restore.unsupported"
            with pytest.raises(RunFailed, match=r"the service's is (physical|logical) now"):
                async with scratch.driver.restore(records[0], scratch.target, RUN_ID):
                    pass
    assert cluster.query("SELECT rolname FROM pg_roles WHERE rolname = 'absent role'") == []
    assert cluster.query("SELECT datname FROM pg_database WHERE NOT datistemplate") == [("postgres",)]


async def test_without_strongroom_the_same_comes_back(
    backup: Backup, cluster: PostgresCluster, restore_dir: Path, tmp_path: Path
) -> None:
    ((record, data),) = backup.artifacts
    identity, stored = restore_dir / "my key.txt", restore_dir / "a backup.age"
    subprocess.run([tool("age-keygen"), "-o", identity], check=True, capture_output=True)
    recipient = identity.read_text().partition("public key: ")[2].split()[0]
    packed = subprocess.run([tool("zstd"), "-c"], input=data, check=True, capture_output=True).stdout
    subprocess.run([tool("age"), "-r", recipient, "-o", stored], input=packed, check=True)
    owner = cluster.data_dir.stat().st_uid
    for path in (identity, stored):
        os.chown(path, owner, -1)
    by_hand = restore_dir / "by hand"
    by_hand.mkdir()
    os.chown(by_hand, owner, -1)
    commands = native_restore_commands(record, file=str(stored), key_file=str(identity))
    become = [tool("setpriv"), f"--reuid={owner}", "--clear-groups", "--"] if os.geteuid() == 0 else []
    env = {"PATH": f"{Path(pg_bin('pg_ctl')).parent}:{os.environ['PATH']}"}
    *unpacking, starting = commands
    for command in unpacking:
        finished = subprocess.run(
            [*become, "bash", "-o", "pipefail", "-c", command],
            env=env,
            cwd=by_hand,
            capture_output=True,
            text=True,
            check=False,
        )
        assert finished.returncode == 0, (command, finished.stderr)
    assert starting == "pg_ctl -D restored -l restored.log start"
    assert rows_in(by_hand / "restored", cluster) == [(1000,)]


def rows_in(directory: Path, origin: PostgresCluster) -> list[tuple[object, ...]]:
    """By a server that is started on it, which must not be a replica."""
    server = RestoredCluster(directory, origin)
    try:
        server.start()
        assert server.query("SELECT pg_is_in_recovery()") == [(False,)]
        return server.query("SELECT count(*) FROM t")
    finally:
        server.stop()
