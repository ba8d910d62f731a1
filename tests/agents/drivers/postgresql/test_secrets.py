"""No secret in an argument, an environment, a file or an error."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.drivers.postgresql.psql import Psql
from contracts.errors import RunFailed
from tests.agents.drivers.playing import RUN_ID, write_all
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import Host, back_up, target
from tests.servers.waiting import eventually

BIG = "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) AS t FROM generate_series(1, 20000) i"


def children(name: str) -> Iterator[tuple[str, str]]:
    """(command line, environment) of each of our children that runs this program."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            command = (path / "cmdline").read_text()
            if parent == os.getpid() and name in command.split("\0")[0]:
                yield command, (path / "environ").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue


def assert_clean(host: Host, name: str) -> None:
    found = list(children(name))
    assert found
    for command, environment in found:
        assert host.cluster.password not in command
        assert host.cluster.password not in environment
        assert "PGPASSWORD" not in environment
    assert list(host.runtime_dir.iterdir()) == []


async def test_a_dump_shows_no_password_to_other_processes(host: Host, new_database: Factory) -> None:
    name = new_database("secret", BIG)
    driver = host.backup_of(name)
    (planned,) = (await driver.plan_backup()).artifacts
    async with driver.dump(planned) as source:
        await asyncio.to_thread(os.read, source.fd, 65536)
        assert_clean(host, "pg_dump")


async def test_a_restore_shows_no_password_to_other_processes(
    host: Host, new_database: Factory, fresh_name: Factory
) -> None:
    name, copy = new_database("secret", BIG), fresh_name("copy")
    driver = host.backup_of(name)
    record, data = await back_up(driver, name)
    async with driver.restore(record, target({name: copy}), RUN_ID) as sink:
        await asyncio.to_thread(write_all, sink.fd, data[: 3 * 1024 * 1024])
        await eventually(lambda: list(children("pg_restore")))
        assert_clean(host, "pg_restore")


async def test_a_query_shows_no_password_to_other_processes(host: Host, new_database: Factory) -> None:
    psql = Psql(host.connection(), host.runtime_dir)
    task = asyncio.create_task(psql.query("SELECT to_json(pg_sleep(1)::text)", str, "sleeping"))
    await eventually(lambda: list(children("psql")))
    assert_clean(host, "psql")
    await task


async def test_a_password_that_the_server_repeats_is_cut_out(host: Host) -> None:
    psql = Psql(host.connection(), host.runtime_dir)
    with pytest.raises(RunFailed) as caught:
        await psql.execute([f"SELECT '{host.cluster.password}'::int"], "trying something")
    assert host.cluster.password not in f"{caught.value} {caught.value.detail}"
    assert "…" in (caught.value.detail or "")
