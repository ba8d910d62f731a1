"""Rows that are counted: in the very snapshot of the dump, and only where a restore must bring back as many."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.drivers.postgresql import inventory
from agents.drivers.postgresql.counts import count_name
from agents.drivers.postgresql.discovery import look_at_cluster
from agents.drivers.postgresql.psql import Psql
from contracts.records import RestoreTarget
from contracts.services import PostgreSQLOptions
from tests.agents.drivers.playing import back_up, finish_dump, read_all, restore
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import Host, quoted, run_sql

BIG = "CREATE TABLE big AS SELECT i, md5(i::text) AS x FROM generate_series(1, 150000) i;"


def test_names_are_quoted_where_they_must_be() -> None:
    assert count_name("shop", "public", "orders_2026") == "shop.public.orders_2026"
    assert count_name("shop", "a.b", 'Odd "one') == 'shop."a.b"."Odd ""one"'


async def test_rows_are_those_of_the_dump_and_not_of_the_plan_before_or_the_time_after(
    host: Host, new_database: Factory
) -> None:
    name = new_database("busy", BIG + "CREATE TABLE t AS SELECT 1 AS i; CREATE TABLE gone AS SELECT 1 AS i")
    driver = host.backup_of(name)
    plan = await driver.plan_backup()
    counts = plan.inventory["counts"]
    assert counts == {f"{name}.public.big": 150000, f"{name}.public.t": 1, f"{name}.public.gone": 1}
    run_sql(host.cluster, name, "INSERT INTO t SELECT generate_series(2, 10); DROP TABLE gone")
    (planned,) = plan.artifacts
    async with driver.holding(plan), driver.dump(planned) as source:
        data = await asyncio.to_thread(os.read, source.fd, 65536)
        run_sql(host.cluster, name, "INSERT INTO t SELECT generate_series(11, 20)")
        data += await asyncio.to_thread(read_all, source.fd)
        await finish_dump(source, data)
        await driver.finish_backup(plan)
    assert counts == {f"{name}.public.big": 150000, f"{name}.public.t": 10}
    (listed,) = plan.inventory["databases"]
    assert {one["name"]: one.get("rows") for one in listed["objects"]["tables"]} == {"big": 150000, "t": 10, "gone": None}


async def test_what_a_restore_need_not_bring_back_is_not_among_them(host: Host, new_database: Factory) -> None:
    name = new_database(
        "views",
        "CREATE TABLE t AS SELECT 1 AS i; CREATE MATERIALIZED VIEW m AS SELECT * FROM t; INSERT INTO t VALUES (2);"
        "CREATE TABLE p (i int) PARTITION BY LIST (i); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);"
        "INSERT INTO p VALUES (1)",
    )
    plan = await host.backup_of(name).plan_backup()
    assert plan.inventory["counts"] == {f"{name}.public.t": 2, f"{name}.public.p1": 1}


async def test_a_role_with_too_few_sessions_for_a_snapshot_backs_up_without_counts(
    host: Host, new_database: Factory, new_role: Callable[..., tuple[str, str]]
) -> None:
    name = new_database("few", "CREATE TABLE t AS SELECT 1 AS i")
    role = new_role("few", "CONNECTION LIMIT 1")
    host.cluster.query(f"GRANT pg_read_all_data TO {quoted(role[0])}")
    driver = host.driver(host.connection(*role), PostgreSQLOptions(include=[name], globals=False))
    backup = await back_up(driver)
    assert backup.artifacts[0][1].startswith(b"PGDMP")
    assert backup.plan.inventory["counts"] == {}


async def test_a_rehearsal_counts_also_what_is_not_among_the_largest_tables(
    host: Host, new_database: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which tables those are, a restore changes: bloat is gone, so others may be the largest of the same two thousand."""
    monkeypatch.setattr(inventory, "MAX_TABLES", 1)
    name = new_database("many", "CREATE TABLE small (i int); CREATE TABLE larger AS SELECT 1 AS i")
    psql = Psql(host.connection(), host.runtime_dir)
    (database,) = [one for one in (await look_at_cluster(psql)).databases if one.name == name]
    of_plan, _ = await inventory.look_at_objects(psql, database, in_recovery=False, count_s=3)
    assert [table.name for table in of_plan.tables] == ["larger"]
    rehearsed, warnings = await inventory.look_at_objects(psql, database, in_recovery=False, count_s=3, every_table=True)
    assert {table.name: table.rows for table in rehearsed.tables} == {"larger": 1, "small": 0}
    assert warnings == []


async def test_a_rehearsal_without_the_globals_makes_the_roles_up_and_counts_large_tables_too(
    host: Host, new_database: Factory, new_role: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    owner, _ = new_role("Owner of it")
    bound, _ = new_role("bound")
    name = new_database(
        "drill",
        f"CREATE TABLE t AS SELECT 1 AS i; ALTER TABLE t OWNER TO {quoted(owner)};"
        f"CREATE POLICY p ON t TO {quoted(bound)} USING (true);"
        "CREATE TABLE large AS SELECT repeat(i::text, 100) FROM generate_series(1, 60000) i",
    )
    driver = host.backup_of(name)
    backup = await back_up(driver)
    assert backup.plan.inventory["counts"] == {f"{name}.public.t": 1}
    directory = tmp_path / "scratch"
    directory.mkdir(mode=0o700)
    async with driver.scratch(directory) as scratch:
        assert (scratch.target.project, scratch.target.replace) == ("scratch", False)
        await restore(scratch.driver, backup, scratch.target)
        found = await scratch.inventory()
    assert found["counts"] == {f"{name}.public.t": 1, f"{name}.public.large": 60000}
    assert found["system_identifier"] != backup.plan.inventory["system_identifier"]
    assert list(directory.iterdir()) == []


async def test_a_rehearsal_is_left_in_the_middle_without_a_trace(host: Host, tmp_path: Path) -> None:
    directory = tmp_path / "scratch"
    directory.mkdir(mode=0o700)
    async with host.driver().scratch(directory) as scratch:
        assert (await scratch.driver.health()).reachable
        server = int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])
        assert isinstance(scratch.target, RestoreTarget)
    assert not Path(f"/proc/{server}").exists()
    assert list(directory.iterdir()) == []
