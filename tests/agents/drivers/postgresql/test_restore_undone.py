"""Restores that fail, are cancelled or are left: the target is as it was, and nothing else is left."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.drivers.base import RestoreSink
from agents.drivers.postgresql import placing
from agents.drivers.postgresql import restore as restore_module
from agents.drivers.postgresql import scratch as scratch_module
from agents.drivers.postgresql.restore import DatabaseRestore
from contracts.errors import Conflict, RunFailed
from contracts.records import ArtifactRecord
from tests.agents.drivers.playing import RUN_ID, feed, write_all
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import (
    Contents,
    Host,
    back_up,
    database_names,
    look_into,
    program_dir,
    quoted,
    restore,
    run_sql,
    target,
)
from tests.servers.postgres import PostgresCluster
from tests.servers.waiting import eventually

OLD = "CREATE TABLE old (i int); INSERT INTO old VALUES (1), (2); COMMENT ON TABLE old IS 'precious'"
BIG = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 10) AS t FROM generate_series(1, 20000) i"


class Source(msgspec.Struct, frozen=True):
    """A database of 7 MB and its backup."""

    name: str
    record: ArtifactRecord
    data: bytes


@pytest.fixture(scope="module")
def source(postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Source]:
    name = f"src_{secrets.token_hex(3)}"
    postgres.query(f"CREATE DATABASE {name}")
    run_sql(postgres, name, BIG)
    driver = Host(postgres, tmp_path_factory.mktemp("source")).backup_of(name)
    try:
        yield Source(name, *asyncio.run(back_up(driver, name)))
    finally:
        postgres.query(f"DROP DATABASE {name}")


class Scene:
    """A backup, and a target database that holds something precious."""

    def __init__(self, host: Host, source: Source, taken: str) -> None:
        self.host = host
        self.driver = host.driver()
        self.source = source
        self.taken = taken
        host.cluster.query(f"COMMENT ON DATABASE {taken} IS 'as it was'")
        self.before = self._look()
        self.names = database_names(host.cluster)
        self.target = target({source.name: taken}, replace=True)

    def _look(self) -> tuple[Contents, list[tuple[Any, ...]]]:
        select = "SELECT oid::text, datname, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s"
        return look_into(self.host.cluster, self.taken), self.host.cluster.query(select, [self.taken])

    def assert_as_before(self) -> None:
        assert database_names(self.host.cluster) == self.names
        assert self._look() == self.before


@pytest.fixture
def scene(host: Host, source: Source, new_database: Factory) -> Scene:
    return Scene(host, source, new_database("taken", OLD))


async def feed_and_finish(sink: RestoreSink, data: bytes) -> None:
    await feed(sink, data)
    await sink.finish()


async def test_a_truncated_dump_leaves_the_target_as_it_was(scene: Scene) -> None:
    driver, record, data = scene.driver, scene.source.record, scene.source.data
    for cut in (0, 5, 200, 1500, len(data) // 2, len(data) - 10):
        async with driver.restore(record, scene.target, RUN_ID) as sink:
            await feed(sink, data[:cut])
            with pytest.raises(RunFailed) as caught:
                await sink.finish()
            with pytest.raises(RunFailed):
                await sink.finish()
        assert caught.value.code == "restore.failed", cut
        assert caught.value.detail
        scene.assert_as_before()


async def test_garbage_leaves_the_target_as_it_was(scene: Scene) -> None:
    driver, record = scene.driver, scene.source.record
    with pytest.raises(RunFailed, match="pg_restore for database") as caught:
        await restore(driver, record, b"garbage" * 100_000, scene.target)
    assert caught.value.code == "restore.failed"
    scene.assert_as_before()


async def test_a_writer_that_gives_up_leaves_the_target_as_it_was(scene: Scene) -> None:
    driver, record, data = scene.driver, scene.source.record, scene.source.data

    async def half() -> None:
        async with driver.restore(record, scene.target, RUN_ID) as sink:
            await asyncio.to_thread(write_all, sink.fd, data[: len(data) // 2])
            raise ConnectionError("the store is gone")

    with pytest.raises(ConnectionError):
        await half()
    scene.assert_as_before()


async def test_a_restore_without_a_single_byte_leaves_the_target_as_it_was(scene: Scene) -> None:
    driver, record = scene.driver, scene.source.record
    async with driver.restore(record, scene.target, RUN_ID):
        pass
    scene.assert_as_before()


async def test_a_complete_dump_that_nobody_finished_is_not_put_in_place(scene: Scene) -> None:
    driver, record, data = scene.driver, scene.source.record, scene.source.data
    async with driver.restore(record, scene.target, RUN_ID) as sink:
        await feed(sink, data)
    scene.assert_as_before()


async def test_a_restore_that_is_not_wanted_any_more_is_not_put_in_place(scene: Scene) -> None:
    asked: list[bool] = []

    async def refuse() -> None:
        asked.append(scene.taken in database_names(scene.host.cluster))
        raise RunFailed("run.cancelled", "nobody waits for it")

    driver, record, data = scene.driver, scene.source.record, scene.source.data
    async with driver.restore(record, scene.target, RUN_ID, confirm=refuse) as sink:
        await feed(sink, data)
        with pytest.raises(RunFailed, match="nobody waits for it"):
            await sink.finish()
    assert asked == [True]
    scene.assert_as_before()


async def cancel_at(scene: Scene, monkeypatch: pytest.MonkeyPatch, place: object, name: str, *, before: bool) -> None:
    """Cancels a restore just before or just after it called `place.name`."""
    driver, record, data = scene.driver, scene.source.record, scene.source.data
    reached, real = asyncio.Event(), getattr(place, name)

    async def pausing(*args: Any, **kwargs: Any) -> Any:
        outcome = None if before else await real(*args, **kwargs)
        reached.set()
        await asyncio.sleep(0.2)
        return await real(*args, **kwargs) if before else outcome

    monkeypatch.setattr(place, name, pausing)
    task = asyncio.create_task(restore(driver, record, data, scene.target))
    waiting = asyncio.create_task(reached.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    monkeypatch.undo()
    assert waiting.done(), task.exception()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    scene.assert_as_before()


@pytest.mark.parametrize(
    ("place", "name", "before"),
    [
        (scratch_module, "create_database", False),
        (restore_module, "read_properties", True),
        (DatabaseRestore, "_run_pg_restore", True),
        (DatabaseRestore, "_analyze", True),
        (restore_module, "swap_in", True),
        (restore_module, "swap_in", False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_cancelled_restore_leaves_the_target_as_it_was(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, place: object, name: str, before: bool
) -> None:
    await cancel_at(scene, monkeypatch, place, name, before=before)


async def test_a_cancelled_restore_to_a_new_name_leaves_no_database(
    scene: Scene, fresh_name: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.target = target({scene.source.name: fresh_name("copy")})
    await cancel_at(scene, monkeypatch, restore_module, "swap_in", before=False)


async def test_a_cancelled_half_fed_restore_ends_its_tool(scene: Scene) -> None:
    driver, record, data = scene.driver, scene.source.record, scene.source.data
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE '%%__restoring_%%'"

    async def half() -> None:
        async with driver.restore(record, scene.target, RUN_ID) as sink:
            await asyncio.to_thread(write_all, sink.fd, data[: 2 * 1024 * 1024])
            await asyncio.sleep(60)

    task = asyncio.create_task(half())
    await eventually(lambda: scene.host.cluster.query(sessions) == [(1,)])
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert scene.host.cluster.query(sessions) == [(0,)]
    scene.assert_as_before()


async def test_a_session_of_the_restore_that_is_terminated_is_an_error_with_its_words(scene: Scene) -> None:
    driver, record, data = scene.driver, scene.source.record, scene.source.data
    kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname LIKE '%%__restoring_%%'"
    async with driver.restore(record, scene.target, RUN_ID) as sink:
        await asyncio.to_thread(write_all, sink.fd, data[: 2 * 1024 * 1024])
        await eventually(lambda: scene.host.cluster.query(kill) == [(1,)])
        with pytest.raises(RunFailed) as caught:
            await feed_and_finish(sink, data[2 * 1024 * 1024 :])
    assert caught.value.code == "restore.failed"
    assert "server" in (caught.value.detail or "")
    scene.assert_as_before()


async def test_a_tool_that_fails_at_once_breaks_the_pipe_and_tells_why(scene: Scene, tmp_path: Path, real_bin: Path) -> None:
    fake = program_dir(
        tmp_path / "bin",
        {
            "pg_restore": f'#!/bin/sh\ncase "$1" in --version|--create) exec {real_bin}/pg_restore "$@";; esac\n'
            "echo 'pg_restore: error: no room for dreams' >&2; exit 1\n"
        },
        real_bin,
    )
    record, data = scene.source.record, scene.source.data
    driver = scene.host.driver(scene.host.connection(bin_dir=str(fake)))
    with pytest.raises(RunFailed, match="ended with status 1") as caught:
        await restore(driver, record, data, scene.target)
    assert caught.value.code == "restore.failed"
    assert caught.value.detail == "pg_restore: error: no room for dreams"
    scene.assert_as_before()


async def test_a_tool_that_ends_well_without_reading_all_is_believed(scene: Scene, tmp_path: Path, real_bin: Path) -> None:
    # As when what stands last in the dump is not wanted.
    fake = program_dir(
        tmp_path / "bin",
        {
            "pg_restore": f'#!/bin/sh\ncase "$1" in --version|--create) exec {real_bin}/pg_restore "$@";; esac\n'
            f"head -c 1000 > /dev/null; exit 0\n"
        },
        real_bin,
    )
    record, data = scene.source.record, scene.source.data
    driver = scene.host.driver(scene.host.connection(bin_dir=str(fake)))
    async with driver.restore(record, scene.target, RUN_ID) as sink:
        await feed(sink, data)
        await sink.finish()
    assert look_into(scene.host.cluster, scene.taken).rows == {}


async def test_a_target_that_fills_up_meanwhile_is_not_lost(host: Host, source: Source, new_database: Factory) -> None:
    driver, record, data, empty = host.driver(), source.record, source.data, new_database("empty")
    await driver.check_restore([record], target({source.name: empty}))
    async with driver.restore(record, target({source.name: empty}), RUN_ID) as sink:
        await feed(sink, data)
        run_sql(host.cluster, empty, OLD)
        with pytest.raises(Conflict, match="holds 1 tables") as caught:
            await sink.finish()
    assert caught.value.code == "restore.target_not_empty"
    assert look_into(host.cluster, empty).rows == {"public.old": ["(1)", "(2)"]}


async def test_a_target_that_fills_up_at_the_very_last_moment_is_not_lost(
    host: Host, source: Source, new_database: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, record, data, empty = host.driver(), source.record, source.data, new_database("empty")
    real = placing.swap_in

    async def late(*args: Any, **kwargs: Any) -> None:
        run_sql(host.cluster, empty, OLD)
        await real(*args, **kwargs)

    monkeypatch.setattr(restore_module, "swap_in", late)
    before = database_names(host.cluster)
    with pytest.raises(Conflict, match="was empty at first"):
        await restore(driver, record, data, target({source.name: empty}))
    assert look_into(host.cluster, empty).rows == {"public.old": ["(1)", "(2)"]}
    assert database_names(host.cluster) == before


async def test_a_target_that_appears_meanwhile_is_not_lost(
    host: Host, source: Source, fresh_name: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, record, data, name = host.driver(), source.record, source.data, fresh_name("late")
    real = placing.swap_in

    async def late(*args: Any, **kwargs: Any) -> None:
        host.cluster.query(f"CREATE DATABASE {quoted(name)}")
        run_sql(host.cluster, name, OLD)
        await real(*args, **kwargs)

    monkeypatch.setattr(restore_module, "swap_in", late)
    with pytest.raises(RunFailed, match="somebody created a database") as caught:
        await restore(driver, record, data, target({source.name: name}))
    assert caught.value.code == "restore.failed"
    assert look_into(host.cluster, name).rows == {"public.old": ["(1)", "(2)"]}


async def test_a_database_with_replication_slots_is_not_replaced(
    source: Source, postgres_factory: Callable[..., Any], tmp_path: Path
) -> None:
    logical = postgres_factory(wal_level="logical")
    logical.query("CREATE DATABASE taken")
    other = Host(logical, tmp_path)
    run_sql(logical, "taken", "SELECT pg_create_logical_replication_slot('slot', 'pgoutput')")
    with pytest.raises(RunFailed, match=r"1 logical replication slot\(s\)"):
        await other.driver().check_restore([source.record], target({source.name: "taken"}, replace=True))


async def test_what_a_killed_agent_left_behind_is_dropped_by_the_next_restore(
    host: Host, source: Source, fresh_name: Factory
) -> None:
    copy = fresh_name("copy")
    unfinished, foreign = f"{copy}__restoring_20250101t000000zabcd", f"{copy}__restoring_of_somebody"
    host.cluster.query(f"CREATE DATABASE {unfinished}")
    host.cluster.query(f"COMMENT ON DATABASE {unfinished} IS '{placing.UNFINISHED_COMMENT}20250101T000000Z-abcd'")
    host.cluster.query(f"CREATE DATABASE {foreign}")
    await restore(host.driver(), source.record, source.data, target({source.name: copy}))
    assert unfinished not in database_names(host.cluster)
    assert foreign in database_names(host.cluster)


async def test_a_restore_that_is_under_way_is_not_disturbed_by_another_attempt(scene: Scene) -> None:
    driver, record, data = scene.driver, scene.source.record, scene.source.data
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE '%%__restoring_%%'"
    async with driver.restore(record, scene.target, RUN_ID) as sink:
        await asyncio.to_thread(write_all, sink.fd, data[: 2 * 1024 * 1024])
        await eventually(lambda: scene.host.cluster.query(sessions) == [(1,)])
        with pytest.raises(RunFailed, match="another attempt at the same restore"):
            async with driver.restore(record, scene.target, RUN_ID):
                pass
        await feed(sink, data[2 * 1024 * 1024 :])
        await sink.finish()
    assert look_into(scene.host.cluster, scene.taken) == look_into(scene.host.cluster, scene.source.name)


async def test_a_server_that_crashes_during_a_restore_is_cleaned_up_when_it_is_back(
    postgres_factory: Callable[..., Any], tmp_path: Path
) -> None:
    cluster = postgres_factory()
    host = Host(cluster, tmp_path)
    cluster.query("CREATE DATABASE src")
    run_sql(cluster, "src", BIG)
    driver = host.backup_of("src")
    record, data = await back_up(driver, "src")

    async def crash_and_return() -> None:
        await asyncio.to_thread(cluster.kill)
        await asyncio.sleep(1.5)
        await asyncio.to_thread(cluster.start)

    before = database_names(cluster)
    async with asyncio.TaskGroup() as group:
        async with driver.restore(record, target({"src": "copy"}), RUN_ID) as sink:
            await asyncio.to_thread(write_all, sink.fd, data[: 2 * 1024 * 1024])
            back = group.create_task(crash_and_return())
            with pytest.raises(RunFailed):
                await feed_and_finish(sink, data[2 * 1024 * 1024 :])
        await back
    assert database_names(cluster) == before
