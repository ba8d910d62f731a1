"""A real streaming replica."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import RunFailed
from tests.agents.drivers.playing import finish_dump, read_all
from tests.agents.drivers.postgresql.support import Host, back_up, dump, restore, run_sql, target
from tests.servers.directories import server_directory
from tests.servers.postgres import PostgresCluster, PostgresReplica
from tests.servers.waiting import eventually, eventually_blocking


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with server_directory("pg", in_memory=True) as directory:
        directory.chmod(0o755)
        yield directory


@pytest.fixture(scope="module")
def pair(place: Path) -> Iterator[tuple[PostgresCluster, PostgresReplica]]:
    """A primary and its replica."""
    base = place
    (base / "a").mkdir()
    (base / "b").mkdir()
    primary = PostgresCluster(base / "a", {"synchronous_commit": "on"})
    try:
        primary.start()
        run_sql(
            primary, "postgres", "CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) AS x FROM generate_series(1, 60000) i"
        )
        run_sql(primary, "postgres", "CREATE UNLOGGED TABLE u AS SELECT 1 AS i")
        replica = PostgresReplica(base / "b", primary, {"max_standby_streaming_delay": "0"})
        try:
            replica.start()
            eventually_blocking(
                lambda: replica.query("SELECT count(*) FROM pg_stat_wal_receiver WHERE pid IS NOT NULL") == [(1,)]
            )
            yield primary, replica
        finally:
            replica.discard()
    finally:
        primary.discard()


def caught_up(primary: PostgresCluster, replica: PostgresReplica) -> bool:
    (lsn,) = primary.query("SELECT pg_current_wal_lsn()")[0]
    return bool(replica.query("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", [lsn])[0][0])


def conflicts(primary: PostgresCluster, replica: PostgresReplica) -> bool:
    """The dump's session was told to give way, whether it knows that already or is still busy sending."""
    aborted = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction (aborted)'"
    return replica.query(aborted) == [(1,)] or replay_waits(primary, replica)


def replay_waits(primary: PostgresCluster, replica: PostgresReplica) -> bool:
    """Everything was received, and replaying it has come no further between two looks."""
    (lsn,) = primary.query("SELECT pg_current_wal_lsn()")[0]
    select = """
        SELECT pg_last_wal_replay_lsn()::text,
               pg_last_wal_receive_lsn() >= %(lsn)s::pg_lsn AND pg_last_wal_replay_lsn() < %(lsn)s::pg_lsn
    """.replace("%(lsn)s", f"'{lsn}'")
    looks = [replica.query(select) for _ in range(2)]
    return looks[0] == looks[1] and bool(looks[0][0][1])


async def test_a_replica_is_told_from_its_primary(pair: tuple[PostgresCluster, PostgresReplica], tmp_path: Path) -> None:
    primary, replica = pair
    await eventually(lambda: caught_up(primary, replica))
    found = await Host(replica, tmp_path).driver().health()
    assert (found.reachable, found.role) == (True, "replica")
    assert found.lag_s is not None
    assert found.lag_s < 5
    assert (await Host(primary, tmp_path).driver().health()).role == "primary"


async def test_a_dump_of_a_replica_is_whole_and_says_what_is_missing(
    pair: tuple[PostgresCluster, PostgresReplica], tmp_path: Path
) -> None:
    primary, replica = pair
    await eventually(lambda: caught_up(primary, replica))
    driver = Host(replica, tmp_path).backup_of("postgres", with_globals=True)
    plan = await driver.plan_backup()
    assert plan.summary["role"] == plan.inventory["role"] == "replica"
    assert plan.warnings == ["'postgres': the rows of 1 unlogged table(s) are not in a dump that is taken on a replica"]
    for planned in plan.artifacts:
        assert await dump(driver, planned)
    on_primary = await Host(primary, tmp_path).driver().plan_backup()
    assert plan.inventory["system_identifier"] == on_primary.inventory["system_identifier"]


async def test_a_conflict_with_replay_is_a_failure_with_advice(
    pair: tuple[PostgresCluster, PostgresReplica], tmp_path: Path
) -> None:
    primary, replica = pair
    await eventually(lambda: caught_up(primary, replica))
    driver = Host(replica, tmp_path).backup_of("postgres")
    (planned,) = (await driver.plan_backup()).artifacts
    async with driver.dump(planned) as source:
        head = await asyncio.to_thread(os.read, source.fd, 65536)
        run_sql(primary, "postgres", "ALTER TABLE t ADD COLUMN more int")
        await eventually(lambda: conflicts(primary, replica))
        data = head + await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, data)
    assert caught.value.code == "dump.failed"
    assert "set hot_standby_feedback = on" in caught.value.message


async def test_nothing_can_be_restored_to_a_replica(pair: tuple[PostgresCluster, PostgresReplica], tmp_path: Path) -> None:
    primary, replica = pair
    record, data = await back_up(Host(primary, tmp_path).backup_of("postgres"), "postgres")
    with pytest.raises(RunFailed, match="is a replica, which cannot be written to") as caught:
        await restore(Host(replica, tmp_path).driver(), record, data, target({"postgres": "x"}))
    assert caught.value.code == "restore.failed"


async def test_a_replica_that_is_promoted_during_the_dump_is_a_warning(
    pair: tuple[PostgresCluster, PostgresReplica], tmp_path: Path
) -> None:
    primary, replica = pair
    await eventually(lambda: caught_up(primary, replica))
    driver = Host(replica, tmp_path).backup_of("postgres")
    (planned,) = (await driver.plan_backup()).artifacts
    async with driver.dump(planned) as source:
        head = await asyncio.to_thread(os.read, source.fd, 65536)
        assert replica.query("SELECT pg_promote()") == [(True,)]
        data = head + await asyncio.to_thread(read_all, source.fd)
        assert await finish_dump(source, data) == [
            "'postgres': the replica became the primary during the dump; the dump is whole nevertheless"
        ]
    assert (await driver.health()).role == "primary"
