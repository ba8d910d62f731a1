"""The least-privilege roles of `deploy/` suffice, and what is missing is found before the dump."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from agents.drivers.postgresql.driver import PostgreSQLDriver
from contracts.errors import RunFailed
from contracts.services import PostgreSQLOptions
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import (
    Host,
    back_up,
    dump,
    look_into,
    open_database,
    quoted,
    restore,
    run_sql,
    target,
)
from tests.servers.postgres import PostgresCluster
from tests.servers.tools import pg_bin

DEPLOY = Path(__file__).parents[4] / "deploy" / "postgresql"

NewRole = Callable[..., tuple[str, str]]


def run_deploy(cluster: PostgresCluster, file: str, role: str) -> None:
    """As the comment at the top of the file says."""
    command = [pg_bin("psql"), "-X", "-d", cluster.dsn, "-v", f"role={role}", "-f", str(DEPLOY / file)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr == ""


@pytest.fixture
def deployed(postgres: PostgresCluster, new_role: NewRole) -> Iterator[Callable[[str], tuple[str, str]]]:
    """`deployed("backup-role.sql")`: (name, password) of a role as that file makes it."""

    def make(file: str) -> tuple[str, str]:
        # The role is there already: the files may be run again.
        role, password = new_role("Odd role")
        run_deploy(postgres, file, role)
        return role, password

    yield make
    postgres.query("DROP ROLE IF EXISTS strongroom_backup, strongroom_restore")


def backup_as(host: Host, user: tuple[str, str], *databases: str, with_globals: bool = True) -> PostgreSQLDriver:
    options = PostgreSQLOptions(include=list(databases), globals=with_globals)
    return host.driver(host.connection(*user), options)


async def test_the_backup_role_of_deploy_can_back_everything_up(
    host: Host, rich_database: str, fresh_name: Factory, deployed: Callable[[str], tuple[str, str]]
) -> None:
    copy = fresh_name("copy")
    host.cluster.query(f"REVOKE CONNECT ON DATABASE {rich_database} FROM PUBLIC")
    driver = backup_as(host, deployed("backup-role.sql"), rich_database)
    plan = await driver.plan_backup()
    assert plan.warnings == []
    roles, _ = await dump(driver, plan.artifacts[0])
    assert b"SCRAM-SHA-256$" in roles
    record, data = await back_up(driver, rich_database)
    await restore(host.driver(), record, data, target({rich_database: copy}))
    assert look_into(host.cluster, copy) == look_into(host.cluster, rich_database)
    tables = plan.inventory["databases"][0]["objects"]["tables"]
    assert next(one["rows"] for one in tables if one["name"] == "secrets") == 2


async def test_the_backup_role_of_deploy_cannot_write(
    host: Host, rich_database: str, deployed: Callable[[str], tuple[str, str]]
) -> None:
    user, password = deployed("backup-role.sql")
    dsn = f"host={host.cluster.host} port={host.cluster.port} dbname={rich_database} user='{user}' password={password}"
    with psycopg.connect(dsn, autocommit=True) as client:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("CREATE TABLE public.x (i int)")
        client.execute("SET default_transaction_read_only = off")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            client.execute("INSERT INTO app.cache VALUES ('a', 'b')")


async def test_the_restore_role_of_deploy_can_restore_to_itself_and_replace_that(
    host: Host, rich_database: str, fresh_name: Factory, deployed: Callable[[str], tuple[str, str]]
) -> None:
    copy = fresh_name("copy")
    user = deployed("restore-role.sql")
    run_sql(host.cluster, rich_database, "ALTER TABLE app.secrets NO FORCE ROW LEVEL SECURITY")
    record, data = await back_up(host.backup_of(rich_database), rich_database)
    driver = host.driver(host.connection(*user))
    for replace in (False, True):
        outcome = await restore(driver, record, data, target({rich_database: copy}, replace=replace, skip_roles=True))
        assert outcome == {"database": copy, "replaced": replace, "warnings": []}
    assert look_into(host.cluster, copy).rows == look_into(host.cluster, rich_database).rows
    with open_database(host.cluster, copy) as client:
        assert client.execute("SELECT tableowner FROM pg_tables WHERE tablename = 'orders'").fetchall() == [(user[0],)]


async def test_the_restore_role_of_deploy_can_restore_for_owners_it_is_a_member_of(
    host: Host, new_database: Factory, fresh_name: Factory, new_role: NewRole, deployed: Callable[[str], tuple[str, str]]
) -> None:
    user, (owner, _) = deployed("restore-role.sql"), new_role("owner")
    script = f"CREATE TABLE t (i int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO {owner}"
    name, copy = new_database("own", script, f"OWNER {owner}"), fresh_name("copy")
    record, data = await back_up(host.backup_of(name), name)
    driver = host.driver(host.connection(*user))
    with pytest.raises(RunFailed, match=rf'GRANT "{owner}" TO "{user[0]}"') as caught:
        await driver.check_restore([record], target({name: copy}))
    assert caught.value.code == "engine.permission"
    host.cluster.query(f"GRANT {owner} TO {quoted(user[0])}")
    await restore(driver, record, data, target({name: copy}))
    assert look_into(host.cluster, copy) == look_into(host.cluster, name)
    await restore(driver, record, data, target({name: copy}, replace=True))


async def test_another_owners_database_cannot_be_replaced(
    host: Host, new_database: Factory, deployed: Callable[[str], tuple[str, str]]
) -> None:
    user, name = deployed("restore-role.sql"), new_database("foreign")
    record, _ = await back_up(host.backup_of(name), name)
    with pytest.raises(RunFailed, match="belongs to 'postgres'") as caught:
        await host.driver(host.connection(*user)).check_restore([record], target(skip_roles=True, replace=True))
    assert caught.value.code == "engine.permission"


async def test_a_role_that_may_create_nothing_is_told_so_before_a_restore(
    host: Host, new_database: Factory, new_role: NewRole
) -> None:
    user, name = new_role("poor"), new_database("db")
    driver = backup_as(host, user, name)
    record, _ = await back_up(host.backup_of(name), name)
    with pytest.raises(RunFailed, match="CREATEDB") as caught:
        await driver.check_restore([record], target({name: "x"}))
    assert caught.value.code == "engine.permission"
    roles, _ = await back_up(host.backup_of(name, with_globals=True), "globals")
    with pytest.raises(RunFailed, match=r"CREATEROLE.*--skip-roles") as caught:
        await driver.check_restore([roles], target())
    assert caught.value.code == "engine.permission"


async def test_tables_and_sequences_that_cannot_be_read_are_named_before_the_dump(
    host: Host, new_database: Factory, new_role: NewRole
) -> None:
    user = new_role("poor")
    name = new_database("db", 'CREATE SCHEMA s; CREATE TABLE s.t (i int); CREATE TABLE "T x" (i int); CREATE SEQUENCE q')
    with pytest.raises(RunFailed) as caught:
        await backup_as(host, user, name).plan_backup()
    assert caught.value.code == "engine.permission"
    assert f'in {name!r} it may not read 3 tables and sequences (public."T x", public.q, s.t)' in caught.value.message
    assert f'GRANT pg_read_all_data TO "{user[0]}";' in caught.value.message
    host.cluster.query(f"GRANT pg_read_all_data TO {user[0]}")
    assert await back_up(backup_as(host, user, name, with_globals=False), name)


async def test_row_level_security_that_would_hide_rows_is_found_before_the_dump(
    host: Host, rich_database: str, new_role: NewRole
) -> None:
    user = new_role("half")
    host.cluster.query(f"GRANT pg_read_all_data TO {user[0]}")
    with pytest.raises(RunFailed) as caught:
        await backup_as(host, user, rich_database).plan_backup()
    assert caught.value.code == "engine.permission"
    assert "row-level security hides rows of the table app.secrets" in caught.value.message
    assert f'ALTER ROLE "{user[0]}" BYPASSRLS;' in caught.value.message
    assert "it may not read 2 large objects (424242, 424243)" in caught.value.message
    assert f'ALTER ROLE "{user[0]}" SET lo_compat_privileges = on;' in caught.value.message


async def test_large_objects_that_were_granted_are_readable(host: Host, new_database: Factory, new_role: NewRole) -> None:
    user = new_role("lo")
    name = new_database("lo", f"SELECT lo_from_bytea(1001, 'x'); GRANT SELECT ON LARGE OBJECT 1001 TO {user[0]}")
    assert await back_up(backup_as(host, user, name, with_globals=False), name)


async def test_the_missing_right_to_connect_is_named_with_its_grant(
    host: Host, new_database: Factory, new_role: NewRole
) -> None:
    user, name = new_role("out"), new_database("db")
    host.cluster.query(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    with pytest.raises(RunFailed, match=f'GRANT CONNECT ON DATABASE "{name}" TO "{user[0]}"') as caught:
        await backup_as(host, user, name).plan_backup()
    assert caught.value.code == "engine.permission"


async def test_roles_are_backed_up_without_passwords_where_those_are_hidden(
    host: Host, new_database: Factory, new_role: NewRole
) -> None:
    user, name = new_role("managed"), new_database("db")
    driver = backup_as(host, user, name)
    plan = await driver.plan_backup()
    assert [warning for warning in plan.warnings if "without their passwords" in warning]
    assert plan.artifacts[0].attributes["role_passwords"] is False
    data, _ = await dump(driver, plan.artifacts[0])
    assert b"CREATE ROLE" in data
    assert b"PASSWORD" not in data


async def test_user_mappings_that_lose_their_passwords_are_a_warning(
    host: Host, new_database: Factory, new_role: NewRole
) -> None:
    user = new_role("mapper")
    name = new_database(
        "fdw",
        "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw;"
        "CREATE USER MAPPING FOR postgres SERVER s OPTIONS (user 'x', password 'topsecret')",
    )
    (warning,) = (await backup_as(host, user, name, with_globals=False).plan_backup()).warnings
    what = "the options (passwords) of 1 user mapping(s) of foreign servers"
    assert warning == f"{name!r}: {what} are in the dump only if a superuser makes it"
    assert (await host.backup_of(name).plan_backup()).warnings == []


async def test_the_files_of_deploy_make_their_roles(host: Host, deployed: Callable[[str], tuple[str, str]]) -> None:
    name = f"made_{secrets.token_hex(3)}"
    for file, attributes in [
        ("backup-role.sql", (True, False, False, True, False)),
        ("physical-backup-role.sql", (True, False, False, True, True)),
        ("restore-role.sql", (True, True, True, False, False)),
    ]:
        run_deploy(host.cluster, file, name)
        run_deploy(host.cluster, file, name)
        columns = "rolcanlogin, rolcreatedb, rolcreaterole, rolbypassrls, rolreplication"
        assert host.cluster.query(f"SELECT {columns} FROM pg_roles WHERE rolname = %s", [name]) == [attributes]
        host.cluster.query(f"DROP ROLE {name}")
