"""Plans of real clusters: what is in there, and what would go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from agents.drivers.base import BackupPlan
from agents.drivers.postgresql import counts, planning
from agents.drivers.postgresql import inventory as inventory_module
from agents.drivers.postgresql.discovery import ClusterFacts
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.rights import DatabaseRights, look_at_rights
from contracts.errors import RunFailed
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import Host, open_database, quoted, run_sql


def of(plan: BackupPlan, database: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in plan.inventory["databases"] if one["name"] == database)
    return found


async def test_a_plan_names_artifacts_tools_and_figures(host: Host, rich_database: str) -> None:
    plan = await host.backup_of(rich_database, with_globals=True).plan_backup()
    roles, database = plan.artifacts
    assert (roles.name, roles.kind, roles.format, roles.suffix) == ("globals", "globals", "sql", "sql.zst.age")
    assert (database.name, database.kind) == (rich_database, "database")
    assert (database.format, database.suffix) == ("pg_dump-custom", "pgdump.zst.age")
    assert plan.warnings == []
    version = host.cluster.query("SHOW server_version")[0][0]
    assert plan.tools["postgresql"] == version
    assert plan.tools["pg_dump"] == plan.tools["pg_dumpall"] == plan.tools["psql"] == version.split()[0]
    assert plan.summary["databases"] == 1
    assert plan.summary["tables"] == 9
    assert plan.summary["large_objects"] == 2
    assert (plan.summary["server_version"], plan.summary["role"]) == (version, "primary")


async def test_the_inventory_is_what_the_catalogue_says(host: Host, rich_database: str) -> None:
    run_sql(host.cluster, rich_database, "ANALYZE")
    plan = await host.backup_of(rich_database).plan_backup()
    assert json.loads(json.dumps(plan.inventory)) == plan.inventory
    identifier = host.cluster.query("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    assert plan.inventory["system_identifier"] == identifier
    assert plan.inventory["timeline"] == 1
    assert "/" in plan.inventory["lsn"]
    found = of(plan, rich_database)
    assert found["owner"] == "postgres"
    assert found["encoding"] == "UTF8"
    objects = found["objects"]
    assert objects["schemas"] == ['Odd "schema', "app", "public"]
    assert [(one["name"], one["schema"]) for one in objects["extensions"]] == [
        ("hstore", "public"),
        ("pg_trgm", "public"),
        ("plpgsql", "pg_catalog"),
    ]
    tables = {f"{one['schema']}.{one['name']}": one for one in objects["tables"]}
    assert {name: one.get("rows") for name, one in tables.items()} == {
        'Odd "schema.Odd "table': 3,
        "app.cache": 1,
        "app.customers": 500,
        "app.events": None,
        "app.events_2025": 1,
        "app.events_2026": 2,
        "app.orders": 3000,
        "app.secrets": 2,
        "app.totals": 500,
    }
    assert tables["app.orders"]["estimated_rows"] == 3000
    with open_database(host.cluster, rich_database) as client:
        assert client.execute("SELECT pg_table_size('app.orders')").fetchall() == [(tables["app.orders"]["bytes"],)]
    assert objects["sequences"] == ["app.counter", "app.customers_id_seq", "app.orders_id_seq"]
    assert (objects["view_count"], objects["function_count"], objects["large_objects"]) == (1, 2, 2)


async def test_the_estimate_is_near_the_size_of_the_dump(host: Host, new_database: Factory) -> None:
    script = "CREATE TABLE t AS SELECT i, md5(i::text) AS a FROM generate_series(1, 100000) i; CREATE INDEX ON t (a, i)"
    name = new_database("size", script)
    run_sql(host.cluster, name, "VACUUM ANALYZE")
    (artifact,) = (await host.backup_of(name).plan_backup()).artifacts
    with open_database(host.cluster, name) as client:
        table = client.execute("SELECT pg_table_size('t')").fetchall()[0][0]
    assert table <= artifact.estimate_bytes <= table * 1.3


async def test_large_inventories_are_cut_and_that_is_said(
    host: Host, new_database: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "".join(f"CREATE TABLE t{i} AS SELECT generate_series(1, {i});" for i in range(20))
    name = new_database("many", script)
    monkeypatch.setattr(inventory_module, "MAX_TABLES", 5)
    monkeypatch.setattr(inventory_module, "MAX_NAMES", 2)
    plan = await host.backup_of(name).plan_backup()
    objects = of(plan, name)["objects"]
    assert (objects["table_count"], len(objects["tables"])) == (20, 5)
    assert plan.warnings == [f"{name!r}: the inventory leaves out 15 of the smallest tables"]


async def test_counting_stops_when_its_time_is_up(
    host: Host, new_database: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = new_database("late", "CREATE TABLE t AS SELECT 1 AS i")
    monkeypatch.setattr(counts, "COUNT_BUDGET_S", 0)
    plan = await host.backup_of(name).plan_backup()
    assert "rows" not in of(plan, name)["objects"]["tables"][0]


async def test_large_tables_are_not_counted(host: Host, new_database: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    name = new_database("large", "CREATE TABLE s AS SELECT 1 AS i; CREATE TABLE t AS SELECT generate_series(1, 10000) i")
    monkeypatch.setattr(counts, "COUNT_BELOW_BYTES", 8192)
    plan = await host.backup_of(name).plan_backup()
    assert {one["name"]: one.get("rows") for one in of(plan, name)["objects"]["tables"]} == {"s": 1, "t": None}


async def test_a_locked_table_does_not_hold_a_plan_up(host: Host, new_database: Factory) -> None:
    name = new_database("locked", "CREATE TABLE t AS SELECT 1 AS i; CREATE TABLE u AS SELECT 1 AS i")
    run_sql(host.cluster, name, "VACUUM")
    with open_database(host.cluster, name) as client, client.transaction():
        client.execute("LOCK TABLE t")
        plan = await host.backup_of(name).plan_backup()
    assert plan.warnings == [f"{name!r}: sizes in the inventory are those of the last VACUUM, since a table is locked"]
    assert {one["name"]: one.get("rows") for one in of(plan, name)["objects"]["tables"]} == {"t": None, "u": 1}


async def test_attributes_say_what_a_restore_needs(
    host: Host, new_database: Factory, new_role: Callable[..., tuple[str, str]]
) -> None:
    owner, _ = new_role("owner")
    reader, _ = new_role("reader")
    bound, _ = new_role("bound")
    name = new_database(
        "attrs",
        "CREATE EXTENSION citext; CREATE TABLE t (i int);"
        f"ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {reader}; CREATE POLICY p ON t TO {bound} USING (true)",
        f"OWNER {owner} ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de' TEMPLATE template0",
    )
    (artifact,) = (await host.backup_of(name).plan_backup()).artifacts
    version = host.cluster.query("SHOW server_version")[0][0]
    assert artifact.attributes == {
        "server_version": version,
        "tool_version": version.split()[0],
        "encoding": "UTF8",
        "lc_collate": "C.UTF-8",
        "lc_ctype": "C.UTF-8",
        "locale_provider": "icu",
        "locale": "de",
        "icu_rules": None,
        "owner": owner,
        "tablespace": "pg_default",
        "roles": sorted([owner, reader, bound]),
        "owners": [owner],
        "bound_roles": [bound],
        "extensions": ["citext"],
        "tablespaces": [],
    }


async def test_settings_of_a_database_stand_neither_in_plan_nor_record(host: Host, new_database: Factory) -> None:
    name = new_database("hidden")
    host.cluster.query(f"ALTER DATABASE {name} SET \"app.jwt_secret\" = 'topsecret'")
    host.cluster.query(f"COMMENT ON DATABASE {name} IS 'topsecret'")
    plan = await host.backup_of(name).plan_backup()
    assert b"topsecret" not in msgspec.json.encode(plan)


async def test_all_databases_are_found_without_naming_them(host: Host, new_database: Factory) -> None:
    one, other, left_out = new_database("all"), new_database("all"), new_database("skip")
    host.cluster.query(f"CREATE DATABASE {quoted(one + '_tpl')} IS_TEMPLATE true")
    plan = await host.backup_of(exclude=["skip_*"]).plan_backup()
    names = {artifact.name for artifact in plan.artifacts}
    assert {one, other, "postgres"} <= names
    assert not names & {left_out, one + "_tpl", "template1", "template0"}


async def test_a_database_that_does_not_exist_is_an_error(host: Host) -> None:
    with pytest.raises(RunFailed, match="no database 'nothing'") as caught:
        await host.backup_of("nothing").plan_backup()
    assert caught.value.code == "engine.database_not_found"


async def test_a_database_that_vanishes_during_the_plan_is_left_out_unless_it_was_named(
    host: Host, new_database: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    stays, goes = new_database("ci"), new_database("ci_gone")
    prefix = "ci_*"

    async def drop_first(psql: Psql, cluster: ClusterFacts, database: str) -> DatabaseRights:
        if database == goes:
            run_sql(host.cluster, "postgres", f"DROP DATABASE IF EXISTS {goes}")
        return await look_at_rights(psql, cluster, database)

    monkeypatch.setattr(planning, "look_at_rights", drop_first)
    plan = await host.backup_of(stays, prefix).plan_backup()
    assert [artifact.name for artifact in plan.artifacts] == [stays]
    assert plan.warnings == [f"{goes!r}: it was dropped while the backup was being planned"]
    host.cluster.query(f"CREATE DATABASE {goes}")
    with pytest.raises(RunFailed) as caught:
        await host.backup_of(stays, goes).plan_backup()
    assert caught.value.code == "engine.database_not_found"


async def test_a_plan_takes_no_transaction_id(host: Host, new_database: Factory) -> None:
    name = new_database("ro", "CREATE TABLE t AS SELECT 1 AS i")
    host.cluster.query("SELECT 1")
    select = "SELECT txid_snapshot_xmax(txid_current_snapshot())"
    before = host.cluster.query(select)
    await host.backup_of(name).plan_backup()
    assert host.cluster.query(select) == before
