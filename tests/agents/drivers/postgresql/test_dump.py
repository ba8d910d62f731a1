"""Dumps that are whole, and dumps that only look so."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.drivers.base import PlannedArtifact
from agents.drivers.postgresql.driver import PostgreSQLDriver
from agents.drivers.postgresql.dump import SMALLEST_CUSTOM_DUMP
from contracts.errors import RunFailed
from tests.agents.drivers.playing import finish_dump, read_all
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import Host, back_up, dump, open_database, program_dir, run_sql
from tests.servers.waiting import eventually

BIG = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) AS t FROM generate_series(1, 60000) i"


async def plan_of(driver: PostgreSQLDriver, name: str) -> PlannedArtifact:
    return next(one for one in (await driver.plan_backup()).artifacts if one.name == name)


async def expect_failure(driver: PostgreSQLDriver, planned: PlannedArtifact) -> RunFailed:
    async with driver.dump(planned) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, data)
    return caught.value


@pytest.fixture
def with_fake(host: Host, tmp_path: Path, real_bin: Path) -> Callable[..., PostgreSQLDriver]:
    """`with_fake(pg_dump="…")`: a driver whose tools are these shell scripts (`--version` is answered for them)."""

    def make(**scripts: str) -> PostgreSQLDriver:
        texts = {
            name: f'#!/bin/bash\nif [ "$1" = --version ]; then exec {real_bin}/{name} --version; fi\n{script}\n'
            for name, script in scripts.items()
        }
        directory = program_dir(tmp_path / "bin", texts, real_bin)
        return host.driver(host.connection(bin_dir=str(directory)))

    return make


async def test_an_empty_databases_dump_is_whole_and_larger_than_the_limit(host: Host, new_database: Factory) -> None:
    _, data = await back_up(host.backup_of(name := new_database("empty")), name)
    assert data.startswith(b"PGDMP")
    assert len(data) > 2 * SMALLEST_CUSTOM_DUMP


async def test_a_database_called_globals_does_not_hide_the_globals(host: Host) -> None:
    host.cluster.query("CREATE DATABASE globals")
    try:
        plan = await host.backup_of("globals", with_globals=True).plan_backup()
        assert [(one.name, one.kind) for one in plan.artifacts] == [("(globals)", "globals"), ("globals", "database")]
    finally:
        host.cluster.query("DROP DATABASE globals")


async def test_a_tool_that_writes_half_and_fails_is_a_failure_with_its_words(
    host: Host, new_database: Factory, with_fake: Callable[..., PostgreSQLDriver], real_bin: Path
) -> None:
    name = new_database("half", BIG)
    driver = with_fake(pg_dump=f'{real_bin}/pg_dump "$@" | head -c 100000; echo "pg_dump: error: lost it" >&2; exit 1')
    failure = await expect_failure(driver, await plan_of(driver, name))
    assert (failure.code, failure.detail) == ("dump.failed", "pg_dump: error: lost it")
    assert f"pg_dump of database '{name}' ended with status 1" in failure.message


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("exit 0", "it wrote nothing"),
        ("echo hello; exit 0", "does not begin as an archive"),
        ("printf 'PGDMP....'; exit 0", "it has only 9 bytes"),
    ],
)
async def test_a_tool_that_ends_well_without_a_whole_dump_is_not_believed(
    new_database: Factory, with_fake: Callable[..., PostgreSQLDriver], script: str, words: str
) -> None:
    name = new_database("hollow")
    driver = with_fake(pg_dump=script)
    failure = await expect_failure(driver, await plan_of(driver, name))
    assert failure.code == "dump.incomplete"
    assert words in failure.message


async def test_globals_without_their_last_line_are_not_believed(
    host: Host, with_fake: Callable[..., PostgreSQLDriver], real_bin: Path
) -> None:
    driver = with_fake(pg_dumpall=f'{real_bin}/pg_dumpall "$@" | head -c 300; exit 0')
    failure = await expect_failure(driver, await plan_of(driver, "globals"))
    assert failure.code == "dump.incomplete"
    assert "completion mark" in failure.message


async def test_a_tool_that_does_not_end_is_given_up(
    new_database: Factory, with_fake: Callable[..., PostgreSQLDriver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.drivers.programs._EXIT_TIMEOUT_S", 0.2)
    name = new_database("hang")
    driver = with_fake(pg_dump="exec 1>&-; sleep 1000")
    failure = await expect_failure(driver, await plan_of(driver, name))
    assert failure.code == "dump.failed"
    assert "did not end within" in failure.message


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_tool_that_is_killed_half_way_is_a_failure(host: Host, new_database: Factory, number: int) -> None:
    name = new_database("killed", BIG)
    driver = host.backup_of(name)
    async with driver.dump(await plan_of(driver, name)) as source:
        head = await asyncio.to_thread(os.read, source.fd, 65536)
        os.kill(source.pid, number)  # type: ignore[attr-defined]
        data = head + await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, data)
    assert caught.value.code == "dump.failed"


async def test_a_session_that_the_server_terminates_is_a_failure(host: Host, new_database: Factory) -> None:
    name = new_database("terminated", BIG)
    driver = host.backup_of(name)
    kill = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
    async with driver.dump(await plan_of(driver, name)) as source:
        head = await asyncio.to_thread(os.read, source.fd, 65536)
        assert host.cluster.query(kill) == [(1,)]
        data = head + await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed, match="the server ended its session") as caught:
            await finish_dump(source, data)
    assert caught.value.code == "dump.failed"
    assert "connection" in (caught.value.detail or "")


async def test_a_table_that_stays_locked_is_a_failure_that_says_so(host: Host, new_database: Factory) -> None:
    name = new_database("locked", "CREATE TABLE t (i int)")
    driver = host.backup_of(name, lock_timeout_s=1)
    planned = await plan_of(driver, name)
    with open_database(host.cluster, name) as client, client.transaction():
        client.execute("LOCK TABLE t")
        failure = await expect_failure(driver, planned)
    assert failure.code == "dump.failed"
    assert "it waited 1 s for a table that another session has locked" in failure.message


async def test_a_value_that_is_too_wide_is_a_failure_that_says_so(
    new_database: Factory, with_fake: Callable[..., PostgreSQLDriver]
) -> None:
    words = "pg_dump: error: Dumping the contents of table t failed: ERROR:  invalid memory alloc request size 1258291203"
    name = new_database("wide")
    driver = with_fake(pg_dump=f"printf PGDMP; echo '{words}' >&2; exit 1")
    failure = await expect_failure(driver, await plan_of(driver, name))
    assert failure.code == "dump.failed"
    assert "a value is too large" in failure.message


async def test_a_right_that_was_lost_after_the_plan_is_an_error_of_rights(
    host: Host, new_database: Factory, new_role: Callable[..., tuple[str, str]]
) -> None:
    user = new_role("loser")
    name = new_database("rights", f"CREATE TABLE t (i int); GRANT SELECT ON t TO {user[0]}")
    driver = host.driver(host.connection(*user))
    planned = await plan_of(host.backup_of(name), name)
    run_sql(host.cluster, name, f"REVOKE SELECT ON t FROM {user[0]}")
    failure = await expect_failure(driver, planned)
    assert failure.code == "engine.permission"


async def test_a_database_that_was_dropped_after_the_plan_is_named(host: Host) -> None:
    planned = PlannedArtifact(
        name="gone", kind="database", format="pg_dump-custom", suffix="pgdump.zst.age", estimate_bytes=1
    )
    with pytest.raises(RunFailed, match="'gone' has been dropped or renamed") as caught:
        async with host.driver().dump(planned):
            pass
    assert caught.value.code == "engine.database_not_found"


async def test_what_the_tool_warns_of_is_passed_on(
    host: Host, new_database: Factory, new_role: Callable[..., tuple[str, str]]
) -> None:
    user = new_role("subscriber", "BYPASSRLS")
    name = new_database("sub", "CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p WITH (connect = false)")
    try:
        _, warnings = await dump(host.driver(host.connection(*user)), await plan_of(host.backup_of(name), name))
    finally:
        run_sql(host.cluster, name, "ALTER SUBSCRIPTION s SET (slot_name = NONE)")
        run_sql(host.cluster, name, "DROP SUBSCRIPTION s")
    assert warnings == ["warning: subscriptions not dumped because current user is not a superuser"]


async def test_leaving_a_dump_ends_its_tool_and_its_session(host: Host, new_database: Factory) -> None:
    name = new_database("left", BIG)
    driver = host.backup_of(name)
    sessions = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    began = time.monotonic()
    async with driver.dump(await plan_of(driver, name)) as source:
        await asyncio.to_thread(os.read, source.fd, 65536)
        pid = source.pid  # type: ignore[attr-defined]
        assert host.cluster.query(sessions) == [(1,)]
    assert not Path(f"/proc/{pid}").exists()
    await eventually(lambda: host.cluster.query(sessions) == [(0,)])
    assert time.monotonic() - began < 10
