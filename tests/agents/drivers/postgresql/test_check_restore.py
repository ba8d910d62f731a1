"""Restores that cannot be done are refused before anything is fetched or changed."""

from __future__ import annotations

import pytest

from contracts.errors import Conflict, InvalidInput, RunFailed
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import Host, database_record, globals_record, open_database, run_sql, target

CONTENTS = [
    ("CREATE TABLE x (i int)", "DROP TABLE x"),
    ("CREATE VIEW x AS SELECT 1 AS one", "DROP VIEW x"),
    ("CREATE SEQUENCE x", "DROP SEQUENCE x"),
    ("CREATE SCHEMA x", "DROP SCHEMA x"),
    ("CREATE TYPE x AS ENUM ('a')", "DROP TYPE x"),
    ("CREATE DOMAIN x AS int", "DROP DOMAIN x"),
    ("CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION x"),
    ("SELECT lo_create(4711)", "SELECT lo_unlink(4711)"),
]


async def test_a_target_that_holds_anything_is_refused(host: Host, new_database: Factory) -> None:
    name = new_database("taken")
    driver, record = host.driver(), database_record("orders")
    for create, drop in CONTENTS:
        run_sql(host.cluster, name, create)
        with pytest.raises(Conflict, match=rf"'{name}' holds 1 .*--replace") as caught:
            await driver.check_restore([record], target({"orders": name}))
        assert caught.value.code == "restore.target_not_empty", create
        await driver.check_restore([record], target({"orders": name}, replace=True))
        run_sql(host.cluster, name, drop)
    await driver.check_restore([record], target({"orders": name}))


async def test_extensions_alone_do_not_make_a_target_hold_data(host: Host, new_database: Factory) -> None:
    name = new_database("empty", "CREATE EXTENSION pg_trgm; CREATE EXTENSION hstore")
    await host.driver().check_restore([database_record("orders")], target({"orders": name}))


async def test_sessions_on_an_empty_target_are_not_disconnected_without_being_asked(
    host: Host, new_database: Factory
) -> None:
    name = new_database("empty")
    driver, record = host.driver(), database_record("orders")
    with open_database(host.cluster, name) as client:
        with pytest.raises(RunFailed, match=r"1 session\(s\) are connected to it"):
            await driver.check_restore([record], target({"orders": name}))
        assert client.execute("SELECT 1").fetchall() == [(1,)]
        await driver.check_restore([record], target({"orders": name}, replace=True))


async def test_names_that_cannot_be_meant_are_refused(host: Host) -> None:
    driver, record = host.driver(), database_record("orders")
    for rename, words in [
        ({"ordres": "x"}, "no database 'ordres'"),
        ({"orders": "x" * 64}, "longer than"),
        ({"orders": "ü" * 32}, "longer than"),
        ({"orders": ""}, "cannot be the name"),
        ({"orders": "a\0b"}, "cannot be the name"),
        ({"orders": "template1"}, "on which PostgreSQL depends"),
    ]:
        with pytest.raises(InvalidInput, match=words) as caught:
            await driver.check_restore([record], target(rename))
        assert (caught.value.code, caught.value.field) == ("input.invalid", "rename")


async def test_two_artifacts_cannot_go_to_one_database(host: Host) -> None:
    records = [database_record("orders"), database_record("customers")]
    with pytest.raises(InvalidInput, match="'orders' and 'customers' would both be restored as 'orders'"):
        await host.driver().check_restore(records, target({"customers": "orders"}))


async def test_artifacts_of_another_kind_are_refused(host: Host) -> None:
    with pytest.raises(InvalidInput, match="of the kind 'index'"):
        await host.driver().check_restore([database_record("orders", kind="index")], target())


async def test_a_dump_of_a_newer_server_is_refused(host: Host) -> None:
    with pytest.raises(RunFailed, match="restore into 99 or newer") as caught:
        await host.driver().check_restore([database_record("x", server_version="99.1")], target())
    assert caught.value.code == "engine.version_skew"


async def test_a_dump_of_a_newer_pg_dump_needs_its_tools(host: Host) -> None:
    with pytest.raises(RunFailed, match=r"pg_restore 99 or newer is needed.*postgresql-client-99") as caught:
        await host.driver().check_restore([database_record("x", tool_version="99.1")], target())
    assert caught.value.code == "engine.version_skew"


async def test_missing_extensions_are_named(host: Host) -> None:
    with pytest.raises(RunFailed, match="needs extensions that the target's server does not have: postgis;") as caught:
        await host.driver().check_restore([database_record("x", extensions=["postgis", "pg_trgm"])], target())
    assert caught.value.code == "restore.failed"


async def test_missing_roles_are_named_unless_they_come_along_or_are_to_be_left_alone(host: Host) -> None:
    driver, record = host.driver(), database_record("x", owners=["somebody"], owner="postgres")
    with pytest.raises(RunFailed, match=r"does not have: somebody;.*--skip-roles") as caught:
        await driver.check_restore([record], target())
    assert caught.value.code == "restore.failed"
    await driver.check_restore([record], target(skip_roles=True))
    await driver.check_restore([globals_record(), record], target())


async def test_roles_that_policies_name_must_exist_in_any_case(host: Host) -> None:
    record = database_record("x", bound_roles=["somebody"])
    with pytest.raises(RunFailed, match=r"row-level policies or user mappings .* somebody"):
        await host.driver().check_restore([record], target(skip_roles=True))


async def test_globals_that_do_not_fit_in_memory_are_refused(host: Host) -> None:
    with pytest.raises(RunFailed, match="longer than the 64 MiB") as caught:
        await host.driver().check_restore([globals_record(plain_bytes=100 * 1024 * 1024)], target())
    assert caught.value.code == "restore.failed"


async def test_a_damaged_record_is_called_so(host: Host) -> None:
    with pytest.raises(Exception, match="the record of artifact 'x' is damaged") as caught:
        await host.driver().check_restore([database_record("x", owners="not a list")], target())
    assert getattr(caught.value, "code", None) == "artifact.corrupt"


async def test_a_restore_takes_roles_before_databases(host: Host) -> None:
    records = [database_record("b"), globals_record(), database_record("a")]
    assert [record.name for record in host.driver().restore_order(records)] == ["globals", "b", "a"]
