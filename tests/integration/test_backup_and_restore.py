"""A real database goes encrypted into a real bucket through a real NATS server, and comes back identical."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts import control
from contracts.age import Identity
from contracts.records import RunState
from contracts.services import PostgreSQLOptions
from tests.integration.platform import Platform
from tests.servers.postgres import Database, PostgresCluster

ROWS = 2_000


@pytest.fixture
def shop(postgres: PostgresCluster) -> Iterator[Database]:
    """A database with something in it."""
    created = postgres.create_database()
    fill(created)
    try:
        yield created
    finally:
        postgres.drop_database(created.name)


def fill(database: Database, rows: int = ROWS) -> None:
    database.query("CREATE TABLE orders (id bigint PRIMARY KEY, customer text NOT NULL, total numeric(10,2), note text)")
    database.query(
        "INSERT INTO orders SELECT i, 'Kundin ' || i || ' 🦉', i * 1.25, repeat(md5(i::text), 10)"
        f" FROM generate_series(1, {rows}) i"
    )
    database.query("CREATE INDEX ON orders (customer)")


def content(cluster: PostgresCluster, database: str) -> list[tuple[object, ...]]:
    """Rows and an order-free sum of every row's text, by a client of its own."""
    total = "sum(('x' || substr(md5(o::text), 1, 15))::bit(60)::bigint)"
    return cluster.query(f"SELECT count(*), {total} FROM orders o", database=database)


async def test_a_database_comes_back_identical_under_another_name(platform: Platform, shop: Database) -> None:
    platform.write_service()
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        await operator.set_up("node-1", options=PostgreSQLOptions(include=[shop.name]))
        backup = await operator.completed(await operator.request(tags=["first"]))
        assert [artifact.kind for artifact in backup.artifacts] == ["globals", "database"]
        copy = f"{shop.name}_copy"
        try:
            restore = await operator.restore(backup, artifacts=[shop.name], rename={shop.name: copy})
            assert restore.state is RunState.COMPLETED, restore.error
            assert content(platform.cluster, copy) == content(platform.cluster, shop.name)
            indexes = "SELECT indexdef FROM pg_indexes WHERE tablename = 'orders' ORDER BY 1"
            assert platform.cluster.query(indexes, database=copy) == platform.cluster.query(indexes, database=shop.name)
        finally:
            platform.cluster.query(f"DROP DATABASE IF EXISTS {copy}")
        types = [event.type for event in await operator.stored_events()]
    for expected in ("backup.requested", "backup.started", "backup.completed", "restore.requested", "restore.completed"):
        assert types.count(expected) == 1, types
    assert platform.bucket.list_uploads() == []


async def test_stock_programs_alone_open_an_artifact(platform: Platform, shop: Database, tmp_path: Path) -> None:
    """`age -d -i key.txt X | zstd -d | pg_restore` with the recovery identity, and none of our code."""
    recovery = Identity.generate()
    platform.write_service()
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        project = control.ProjectCreate(name="acme", recovery_recipients=[str(recovery.recipient)])
        await operator.call(control.PROJECT_CREATE, project)
        await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
        options = PostgreSQLOptions(include=[shop.name], globals=False)
        service = control.ServiceAdd(project="acme", name="orders", options=options, nodes=["node-1"])
        await operator.call(control.SERVICE_ADD, service)
        await operator.alive("node-1")
        backup = await operator.completed(await operator.request())
    (artifact,) = backup.artifacts
    stored = tmp_path / "artifact.age"
    stored.write_bytes(platform.bucket.read(artifact.object_key))
    key = tmp_path / "key.txt"
    key.write_text(recovery.reveal() + "\n")
    packed = subprocess.run(["age", "-d", "-i", str(key), str(stored)], check=True, capture_output=True).stdout
    dump = subprocess.run(["zstd", "-d"], check=True, capture_output=True, input=packed).stdout
    listing = subprocess.run(["pg_restore", "-l"], check=True, capture_output=True, input=dump).stdout
    assert b"TABLE DATA public orders" in listing
    assert len(dump) == artifact.plain_bytes
    digest = subprocess.run(["sha256sum", str(stored)], check=True, capture_output=True, text=True).stdout
    assert digest.split()[0] == artifact.sha256


async def test_a_target_that_holds_data_is_refused_and_then_replaced_when_told_so(
    platform: Platform, shop: Database
) -> None:
    platform.write_service()
    platform.start_coordinator()
    platform.start_agent()
    before = content(platform.cluster, shop.name)
    async with platform.operator() as operator:
        await operator.set_up("node-1", options=PostgreSQLOptions(include=[shop.name], globals=False))
        backup = await operator.completed(await operator.request())
        shop.query("DELETE FROM orders WHERE id % 2 = 0")
        halved = content(platform.cluster, shop.name)
        assert halved != before

        refused = await operator.restore(backup)
        assert refused.state is RunState.FAILED
        assert refused.error is not None
        assert refused.error.code == "restore.target_not_empty"
        assert content(platform.cluster, shop.name) == halved

        replaced = await operator.restore(backup, replace=True)
        assert replaced.state is RunState.COMPLETED, replaced.error
    assert content(platform.cluster, shop.name) == before
    unfinished = "SELECT datname FROM pg_database WHERE datname ~ '__(restoring|replaced)_'"
    leftovers = platform.cluster.query(unfinished)
    assert leftovers == []


async def test_odd_names_go_all_the_way(platform: Platform) -> None:
    name = 'odd "näme" = 日本; drop'
    quoted = '"' + name.replace('"', '""') + '"'
    platform.cluster.query(f"CREATE DATABASE {quoted}")
    try:
        platform.cluster.query("CREATE TABLE orders AS SELECT i FROM generate_series(1, 100) i", database=name)
        platform.write_service()
        platform.start_coordinator()
        platform.start_agent()
        async with platform.operator() as operator:
            await operator.set_up("node-1", options=PostgreSQLOptions(include=[name.replace("[", "[[]")], globals=False))
            backup = await operator.completed(await operator.request())
            assert [artifact.name for artifact in backup.artifacts] == [name]
            restore = await operator.restore(backup, rename={name: f"{name} 2"})
            assert restore.state is RunState.COMPLETED, restore.error
            assert content(platform.cluster, f"{name} 2") == content(platform.cluster, name)
    finally:
        platform.cluster.query(f'DROP DATABASE IF EXISTS {quoted[:-1]} 2"')
        platform.cluster.query(f"DROP DATABASE {quoted}")


async def test_a_service_without_settings_on_the_host_says_which_file_to_write(platform: Platform) -> None:
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        await operator.set_up("node-1")
        failed = await operator.ended(await operator.request())
    assert failed.state is RunState.FAILED
    assert failed.error is not None
    assert failed.error.code == "service.not_configured"
    assert "acme.orders.toml" in failed.error.message


async def test_a_wrong_password_is_told_as_such_and_nowhere_repeated(platform: Platform, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not-the-secret-4711")
    platform.write_service(password_file=str(wrong))
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        await operator.set_up("node-1")
        failed = await operator.ended(await operator.request())
    assert failed.error is not None
    assert failed.error.code == "engine.auth_failed"
    assert "not-the-secret-4711" not in repr(failed) + platform.log("agent-node-1") + platform.log("coordinator")
