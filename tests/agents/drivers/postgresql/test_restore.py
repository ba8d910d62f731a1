"""Restores into a real cluster, compared by another client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import pytest
from psycopg import sql

from agents.drivers.postgresql import restore as restore_module
from tests.agents.drivers.playing import RUN_ID, feed, record_of
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import (
    Host,
    back_up,
    database_names,
    dump,
    look_into,
    open_database,
    quoted,
    restore,
    run_sql,
    target,
)

ODD_NAMES = [
    "space \"quote\" 'apostrophe' back\\slash",
    "dbname=postgres user=nobody",
    "größer und 数据库",
    "semi;colon -- :colon %cent $$dollar",
    "new\nline",
    "postgresql://localhost/other",
]


def leftovers(host: Host) -> set[str]:
    return {name for name in database_names(host.cluster) if "__restoring_" in name or "__replaced_" in name}


async def test_a_restored_database_is_equal_to_the_one_dumped(host: Host, rich_database: str, fresh_name: Factory) -> None:
    copy = fresh_name("copy")
    driver = host.backup_of(rich_database)
    record, data = await back_up(driver, rich_database)
    outcome = await restore(driver, record, data, target({rich_database: copy}))
    assert outcome == {"database": copy, "replaced": False, "warnings": []}
    assert look_into(host.cluster, copy) == look_into(host.cluster, rich_database)
    assert not leftovers(host)


async def test_any_name_can_be_backed_up_and_restored(host: Host, fresh_name: Factory) -> None:
    prefix = fresh_name("odd")
    names = [prefix + odd for odd in ODD_NAMES]
    for name in names:
        host.cluster.query(f"CREATE DATABASE {quoted(name)}")
        run_sql(host.cluster, name, "CREATE TABLE t (i int); INSERT INTO t VALUES (7)")
    driver = host.backup_of(f"{prefix}*")
    plan = await driver.plan_backup()
    assert {artifact.name for artifact in plan.artifacts} == set(names)
    for planned in plan.artifacts:
        data, _ = await dump(driver, planned)
        copy = "-" + planned.name
        await restore(driver, record_of(planned, data), data, target({planned.name: copy}))
        assert look_into(host.cluster, copy).rows == {"public.t": ["(7)"]}
        host.cluster.query(f"DROP DATABASE {quoted(copy)}")
    assert not leftovers(host)


@pytest.mark.parametrize("odd", ['a\' = \\ "b"', "größer 数据库"])
async def test_any_database_can_be_replaced(host: Host, fresh_name: Factory, odd: str) -> None:
    name = fresh_name("odd") + odd
    host.cluster.query(f"CREATE DATABASE {quoted(name)}")
    run_sql(host.cluster, name, "CREATE TABLE t (i int); INSERT INTO t VALUES (7)")
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    run_sql(host.cluster, name, "INSERT INTO t VALUES (8)")
    await restore(driver, record, data, target(replace=True))
    assert look_into(host.cluster, name).rows == {"public.t": ["(7)"]}
    assert not leftovers(host)


async def test_the_longest_names_are_restored_and_kept_apart(host: Host, fresh_name: Factory) -> None:
    prefix = fresh_name("long") + "ä" * 24
    names = [prefix + "é", prefix + "è"]
    names = [name + "x" * (63 - len(name.encode())) for name in names]
    driver = host.backup_of(*names)
    for name in names:
        assert len(name.encode()) == 63
        host.cluster.query(f"CREATE DATABASE {quoted(name)}")
        run_sql(host.cluster, name, f"CREATE TABLE t AS SELECT {quoted(name).replace(chr(34), chr(39))} AS name")
    for name in names:
        record, data = await back_up(driver, name)
        await restore(driver, record, data, target(replace=True))
    for name in names:
        assert look_into(host.cluster, name).rows == {"public.t": [f"({name})"]}


async def test_properties_of_the_database_come_back(
    host: Host, new_database: Factory, fresh_name: Factory, new_role: Callable[..., tuple[str, str]]
) -> None:
    owner, _ = new_role("owner")
    reader, _ = new_role("reader")
    name, copy = new_database("props"), fresh_name("copy")
    host.cluster.query(f"ALTER DATABASE {name} OWNER TO {owner}")
    host.cluster.query(f'ALTER DATABASE {name} SET search_path = app, "Odd, one", public')
    host.cluster.query(f"ALTER DATABASE {name} SET \"app.jwt_secret\" = 'it''s; \"secret\" \\ -- x'")
    host.cluster.query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    host.cluster.query(f"ALTER ROLE {reader} IN DATABASE {name} SET work_mem = '64MB'")
    host.cluster.query(f"ALTER DATABASE {name} CONNECTION LIMIT 7")
    host.cluster.query(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
    host.cluster.query(f"GRANT CONNECT ON DATABASE {name} TO {reader} WITH GRANT OPTION")
    host.cluster.query(f"COMMENT ON DATABASE {name} IS 'What; it''s for'")
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)

    outcome = await restore(driver, record, data, target({name: copy}))

    assert outcome["warnings"] == []
    select = """
        SELECT pg_get_userbyid(datdba), datconnlimit, datacl::text, shobj_description(d.oid, 'pg_database'),
               (SELECT array_agg(setrole::regrole::text || ' ' || setconfig::text ORDER BY 1) FROM pg_db_role_setting
                WHERE setdatabase = d.oid)
        FROM pg_database d WHERE datname = %s
    """
    assert host.cluster.query(select, [copy]) == host.cluster.query(select, [name])
    assert host.cluster.query(select, [copy])[0][3] == "What; it's for"


@pytest.mark.parametrize(
    "options",
    [
        "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0",
        "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' TEMPLATE template0",
        "ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8' TEMPLATE template0",
    ],
)
async def test_encoding_and_locale_come_back(host: Host, new_database: Factory, fresh_name: Factory, options: str) -> None:
    name, copy = new_database("enc", "CREATE TABLE t AS SELECT 'x'::text AS x", options), fresh_name("copy")
    host.cluster.query(f"COMMENT ON DATABASE {name} IS 'plain'")
    if "LATIN1" in options:
        with open_database(host.cluster, name) as client:
            client.execute("INSERT INTO t VALUES ('Grüße')")
            client.execute(sql.SQL("COMMENT ON DATABASE {} IS 'Größe'").format(sql.Identifier(name)))
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    assert (await restore(driver, record, data, target({name: copy})))["warnings"] == []
    select = """
        SELECT pg_encoding_to_char(encoding), datcollate, datctype, datlocprovider::text, daticulocale,
               shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()
    """
    with open_database(host.cluster, copy) as new, open_database(host.cluster, name) as old:
        assert new.execute(select).fetchall() == old.execute(select).fetchall()
    assert look_into(host.cluster, copy) == look_into(host.cluster, name)


async def test_a_table_of_contents_of_any_size_is_read(
    host: Host, new_database: Factory, fresh_name: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, copy = new_database("toc", "CREATE TABLE t AS SELECT generate_series(1, 100000) AS i"), fresh_name("copy")
    host.cluster.query(f"ALTER DATABASE {name} SET work_mem = '5MB'")
    monkeypatch.setattr(restore_module, "_FIRST_HEAD_BYTES", 300)
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    assert (await restore(driver, record, data, target({name: copy})))["warnings"] == []
    with open_database(host.cluster, copy) as client:
        assert client.execute("SHOW work_mem").fetchall() == [("5MB",)]
        assert client.execute("SELECT count(*) FROM t").fetchall() == [(100000,)]


async def test_what_cannot_be_found_in_a_huge_table_of_contents_is_said(
    host: Host, new_database: Factory, fresh_name: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, copy = new_database("toc", "CREATE TABLE t AS SELECT generate_series(1, 100000) AS i"), fresh_name("copy")
    monkeypatch.setattr(restore_module, "_FIRST_HEAD_BYTES", 300)
    monkeypatch.setattr(restore_module, "_LARGEST_HEAD_BYTES", 400)
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    outcome = await restore(driver, record, data, target({name: copy}))
    assert outcome["warnings"] == ["the database's own settings and grants could not be found in the dump"]
    assert look_into(host.cluster, copy) == look_into(host.cluster, name)


async def test_finishing_twice_says_the_same(host: Host, new_database: Factory, fresh_name: Factory) -> None:
    name, copy = new_database("db", "CREATE TABLE t (i int)"), fresh_name("copy")
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    async with driver.restore(record, target({name: copy}), RUN_ID) as sink:
        await feed(sink, data)
        assert await sink.finish() == await sink.finish()


async def test_an_empty_target_is_used_without_asking(host: Host, rich_database: str, new_database: Factory) -> None:
    empty = new_database("empty")
    driver = host.backup_of(rich_database)
    record, data = await back_up(driver, rich_database)
    outcome = await restore(driver, record, data, target({rich_database: empty}))
    assert outcome["replaced"] is True
    assert look_into(host.cluster, empty) == look_into(host.cluster, rich_database)
    assert not leftovers(host)


async def test_replacing_disconnects_whoever_is_connected_and_leaves_only_the_new_database(
    host: Host, rich_database: str, new_database: Factory
) -> None:
    taken = new_database("taken", "CREATE TABLE old (i int); INSERT INTO old VALUES (1)")
    driver = host.backup_of(rich_database)
    record, data = await back_up(driver, rich_database)
    with open_database(host.cluster, taken) as client:
        outcome = await restore(driver, record, data, target({rich_database: taken}, replace=True))
        with pytest.raises(psycopg.OperationalError):
            client.execute("SELECT 1")
    assert outcome == {"database": taken, "replaced": True, "warnings": []}
    assert look_into(host.cluster, taken) == look_into(host.cluster, rich_database)
    assert not leftovers(host)


async def test_the_maintenance_database_itself_can_be_replaced(host: Host, new_database: Factory) -> None:
    maintenance = new_database("maint", "CREATE TABLE t AS SELECT 1 AS i")
    driver = host.driver(host.connection(database=maintenance))
    name = new_database("db", "CREATE TABLE t AS SELECT 2 AS i")
    record, data = await back_up(host.backup_of(name), name)
    await restore(driver, record, data, target({name: maintenance}, replace=True))
    assert look_into(host.cluster, maintenance).rows == {"public.t": ["(2)"]}


async def test_nobody_sees_the_target_missing_while_it_is_replaced(host: Host, new_database: Factory) -> None:
    name = new_database("db", "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i")
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    missing: list[bool] = []
    done = asyncio.Event()

    async def watch() -> None:
        while not done.is_set():
            names = await asyncio.to_thread(database_names, host.cluster)
            missing.append(name not in names)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        await restore(driver, record, data, target(replace=True))
        done.set()
    assert missing
    assert not any(missing)


async def test_everything_can_be_given_to_the_restoring_role(
    host: Host, new_database: Factory, fresh_name: Factory, new_role: Callable[..., tuple[str, str]]
) -> None:
    owner, _ = new_role("owner")
    script = f"CREATE TABLE t (i int); ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {owner}"
    name, copy = new_database("db", script, f"OWNER {owner}"), fresh_name("copy")
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    await restore(driver, record, data, target({name: copy}, skip_roles=True))
    with open_database(host.cluster, copy) as client:
        assert client.execute("SELECT tableowner FROM pg_tables WHERE tablename = 't'").fetchall() == [("postgres",)]
        assert client.execute("SELECT relacl FROM pg_class WHERE relname = 't'").fetchall() == [(None,)]


async def test_settings_of_roles_that_are_missing_are_left_out_with_a_warning(
    host: Host, new_database: Factory, fresh_name: Factory
) -> None:
    name, copy = new_database("db"), fresh_name("copy")
    host.cluster.query("CREATE ROLE passing")
    host.cluster.query(f"ALTER ROLE passing IN DATABASE {name} SET work_mem = '64MB'")
    host.cluster.query(f"GRANT CONNECT ON DATABASE {name} TO passing")
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    host.cluster.query(f"REVOKE CONNECT ON DATABASE {name} FROM passing")
    host.cluster.query("DROP ROLE passing")
    outcome = await restore(driver, record, data, target({name: copy}))
    assert outcome["warnings"] == [
        "setting work_mem of role 'passing' was left out: there is no role 'passing'",
        "GRANT CONNECT on the database was left out: there is no role 'passing'",
    ]


async def test_records_of_older_versions_with_few_attributes_can_be_restored(
    host: Host, rich_database: str, fresh_name: Factory
) -> None:
    copy = fresh_name("copy")
    driver = host.backup_of(rich_database)
    record, data = await back_up(driver, rich_database)
    for key in [key for key in record.attributes if key != "encoding"]:
        del record.attributes[key]
    await restore(driver, record, data, target({rich_database: copy}))
    assert look_into(host.cluster, copy) == look_into(host.cluster, rich_database)
