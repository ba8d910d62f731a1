"""Roles on their way from one real cluster to another."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agents.drivers.postgresql import globals_restore
from agents.drivers.postgresql.globals_restore import GlobalsRestore
from contracts.errors import Corrupt, RunFailed
from contracts.records import ArtifactRecord
from tests.agents.drivers.playing import RUN_ID, feed
from tests.agents.drivers.postgresql.support import Host, back_up, database_record, look_into, restore, run_sql, target
from tests.servers.postgres import PostgresCluster

ROLES = """
CREATE ROLE app LOGIN PASSWORD 'app secret' CONNECTION LIMIT 9 VALID UNTIL '2040-01-01';
CREATE ROLE "Odd ""role; --" NOLOGIN CREATEDB;
CREATE ROLE boss SUPERUSER REPLICATION BYPASSRLS CREATEROLE;
CREATE ROLE shared LOGIN PASSWORD 'shared there';
COMMENT ON ROLE app IS 'It''s; the app';
ALTER ROLE app SET search_path = app, "Odd, one";
ALTER ROLE app SET "app.token" = 'it''s \\ "x"';
GRANT "Odd ""role; --" TO app WITH ADMIN OPTION;
GRANT pg_monitor TO app;
GRANT app TO shared;
"""
SNAPSHOT = """
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolreplication, rolbypassrls, rolconnlimit,
       rolvaliduntil::text, rolpassword, shobj_description(oid, 'pg_authid'),
       (SELECT array_agg(setconfig::text) FROM pg_db_role_setting WHERE setrole = r.oid),
       (SELECT array_agg(m.roleid::regrole::text || m.admin_option ORDER BY 1) FROM pg_auth_members m WHERE m.member = r.oid)
FROM pg_authid r WHERE rolname !~ '^pg_' ORDER BY 1
"""


@pytest.fixture(scope="module")
def source(postgres: PostgresCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ArtifactRecord, bytes]]:
    """The globals of the session's cluster with some roles, and a snapshot of these."""
    run_sql(postgres, "postgres", ROLES)
    host = Host(postgres, tmp_path_factory.mktemp("source"))
    try:
        yield asyncio.run(back_up(host.backup_of("postgres", with_globals=True), "globals"))
    finally:
        run_sql(postgres, "postgres", 'DROP ROLE app, "Odd ""role; --", boss, shared')


@pytest.fixture(scope="module")
def other_cluster() -> Iterator[PostgresCluster]:
    with tempfile.TemporaryDirectory(prefix="strongroom-pg-") as directory:
        cluster = PostgresCluster(Path(directory))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.discard()


@pytest.fixture
def other(other_cluster: PostgresCluster, tmp_path: Path) -> Iterator[Host]:
    """Another cluster, with one of the roles."""
    other_cluster.query("CREATE ROLE shared LOGIN PASSWORD 'shared here' CONNECTION LIMIT 2")
    yield Host(other_cluster, tmp_path)
    other_cluster.query("DROP DATABASE IF EXISTS moving")
    for (name,) in other_cluster.query("SELECT quote_ident(rolname) FROM pg_roles WHERE oid >= 16384"):
        other_cluster.query(f"DROP ROLE {name}")


def snapshot(cluster: PostgresCluster) -> dict[str, tuple[Any, ...]]:
    return {row[0]: row for row in cluster.query(SNAPSHOT)}


async def test_missing_roles_are_made_as_they_were_and_existing_ones_stay(
    postgres: PostgresCluster, source: tuple[ArtifactRecord, bytes], other: Host
) -> None:
    before, there = snapshot(other.cluster), snapshot(postgres)
    outcome = await restore(other.driver(), *source, target())
    after = snapshot(other.cluster)
    assert outcome["roles_created"] == ['Odd "role; --', "app", "boss"]
    assert outcome["roles_kept"] == ["postgres", "shared"]
    assert outcome["warnings"] == ["existing roles are not changed, so these memberships were left out: app to shared"]
    for name in ("app", 'Odd "role; --', "boss"):
        assert after[name] == there[name]
    assert {name: row for name, row in after.items() if name in before} == before
    dsn = f"host={other.cluster.host} port={other.cluster.port} dbname=postgres user=app password='app secret'"
    psycopg.connect(dsn).close()
    again = await restore(other.driver(), *source, target())
    assert again["roles_created"] == []
    assert snapshot(other.cluster) == after


async def test_roles_are_left_alone_when_asked(source: tuple[ArtifactRecord, bytes], other: Host) -> None:
    before = snapshot(other.cluster)
    outcome = await restore(other.driver(), *source, target(skip_roles=True))
    assert (outcome["roles_created"], outcome["warnings"]) == ([], ["roles were left alone, as asked"])
    assert snapshot(other.cluster) == before


async def test_a_script_that_was_cut_short_makes_no_role(source: tuple[ArtifactRecord, bytes], other: Host) -> None:
    before = snapshot(other.cluster)
    record, script = source
    for cut in (0, 100, len(script) // 2, len(script) - 60):
        with pytest.raises(Corrupt, match="its end is missing") as caught:
            await restore(other.driver(), record, script[:cut], target())
        assert caught.value.code == "artifact.corrupt"
    assert snapshot(other.cluster) == before


async def test_a_script_with_anything_else_in_it_makes_no_role(
    source: tuple[ArtifactRecord, bytes], other: Host, tmp_path: Path
) -> None:
    before = snapshot(other.cluster)
    record, script = source
    for evil in (f"ALTER ROLE app \\! touch {tmp_path}/evil\n;", "CREATE ROLE :x;", "DO $$ BEGIN END $$;"):
        with pytest.raises(Corrupt):
            await restore(
                other.driver(), record, script.replace(b"CREATE ROLE app;", b"CREATE ROLE app;" + evil.encode()), target()
            )
    assert snapshot(other.cluster) == before
    assert not (tmp_path / "evil").exists()


async def test_statements_about_other_things_are_not_run(source: tuple[ArtifactRecord, bytes], other: Host) -> None:
    record, script = source
    more = b"CREATE TABLE public.evil (i int); DROP ROLE shared; ALTER ROLE shared SUPERUSER; ALTER SYSTEM SET fsync = off;"
    await restore(other.driver(), record, more + script, target())
    assert look_into(other.cluster, "postgres").rows == {}
    assert snapshot(other.cluster)["shared"][1] is False


async def test_a_role_that_may_not_make_superusers_makes_none_at_all(
    source: tuple[ArtifactRecord, bytes], other: Host
) -> None:
    user = other.cluster.create_role("creator", "CREATEROLE CREATEDB")
    before = snapshot(other.cluster)
    with pytest.raises(RunFailed, match=r"superuser.*--skip-roles") as caught:
        await restore(other.driver(other.connection(*user)), *source, target())
    assert caught.value.code == "engine.permission"
    assert "SCRAM" not in f"{caught.value} {caught.value.detail}"
    assert snapshot(other.cluster) == before


async def test_a_role_that_may_create_roles_makes_ordinary_ones(source: tuple[ArtifactRecord, bytes], other: Host) -> None:
    user = other.cluster.create_role("creator", "CREATEROLE CREATEDB")
    other.cluster.query("CREATE ROLE boss")
    record, script = source
    script = b"\n".join(line for line in script.splitlines() if b"app.token" not in line) + b"\n"
    outcome = await restore(other.driver(other.connection(*user)), record, script, target())
    assert outcome["roles_created"] == ['Odd "role; --', "app"]


async def test_globals_beyond_the_bound_break_the_pipe(
    source: tuple[ArtifactRecord, bytes], other: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(globals_restore, "MAX_GLOBALS_BYTES", 100)
    record = database_record("globals", kind="globals")
    with pytest.raises(RunFailed, match="longer than"):
        async with other.driver().restore(record, target(), RUN_ID):
            pass
    monkeypatch.setattr(globals_restore, "require_bearable_size", lambda _: None)
    async with other.driver().restore(record, target(), RUN_ID) as sink:
        with pytest.raises(RunFailed, match="longer than"):
            await feed(sink, b"x" * 5_000_000)


async def test_a_cancelled_restore_of_roles_leaves_none(
    source: tuple[ArtifactRecord, bytes], other: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(other.cluster)
    done, real = asyncio.Event(), GlobalsRestore._apply

    async def slow(self: GlobalsRestore, plan: Any) -> None:
        await real(self, plan)
        done.set()
        await asyncio.sleep(0.2)

    monkeypatch.setattr(GlobalsRestore, "_apply", slow)
    task = asyncio.create_task(restore(other.driver(), *source, target()))
    await done.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert snapshot(other.cluster) == before


async def test_leaving_before_the_end_makes_no_role(source: tuple[ArtifactRecord, bytes], other: Host) -> None:
    before = snapshot(other.cluster)
    record, script = source
    async with other.driver().restore(record, target(), RUN_ID) as sink:
        await feed(sink, script)
    assert snapshot(other.cluster) == before


async def test_a_whole_cluster_moves_to_another(host: Host, source: tuple[ArtifactRecord, bytes], other: Host) -> None:
    run_sql(host.cluster, "postgres", "CREATE DATABASE moving OWNER app")
    try:
        script = "CREATE SCHEMA s AUTHORIZATION app; CREATE TABLE s.t AS SELECT 1 AS i; GRANT SELECT ON s.t TO shared"
        run_sql(host.cluster, "moving", script)
        driver = other.driver()
        record, data = await back_up(host.backup_of("moving"), "moving")
        await driver.check_restore([record, source[0]], target())
        for one, content in [source, (record, data)]:
            async with driver.restore(one, target(), RUN_ID) as sink:
                await feed(sink, content)
                await sink.finish()
        assert look_into(other.cluster, "moving") == look_into(host.cluster, "moving")
    finally:
        run_sql(host.cluster, "postgres", "DROP DATABASE moving")
