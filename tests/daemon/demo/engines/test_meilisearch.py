"""The demo's Meilisearch, with the protocol server as the program on the PATH."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from meilisearch import Client

from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.meilisearch.driver import MeilisearchDriver
from contracts.errors import RunFailed, Unavailable
from contracts.records import RestoreTarget
from daemon.demo.engines.base import DemoEngine, DemoServer
from daemon.demo.engines.meilisearch import MeilisearchEngine
from tests.agents.drivers.playing import back_up, restore
from tests.servers.directories import server_directory
from tests.servers.meilisearch.server import install_program

SIZE_BYTES = 5_000_000
ENGINE: DemoEngine = MeilisearchEngine()


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with server_directory("meili") as path:
        monkeypatch.setenv("PATH", str(install_program(path / "bin")), prepend=":")
        yield path / "meilisearch"


def driver_of(server: DemoServer, work_dir: Path) -> MeilisearchDriver:
    settings = {name: value for name, value in server.connection.items() if name != "kind"}
    work_dir.mkdir(exist_ok=True)
    return MeilisearchDriver(MeilisearchConnection(**settings), runtime_dir=work_dir, work_dir=work_dir)


async def test_the_data_come_back_in_a_second_instance(folder: Path) -> None:
    ENGINE.check()
    told: list[int] = []
    async with ENGINE.running(folder) as server:
        assert await server.fill(SIZE_BYTES, told.append) > SIZE_BYTES
        before = await server.snapshot()
        assert {name: table.rows for name, table in before.tables.items()} == {"products": 2829, "reviews": 314}
        backup = await back_up(driver_of(server, folder.parent / "work"))
        record, data = backup.artifacts[0]
        assert 0.8 * SIZE_BYTES < len(data) < 1.2 * SIZE_BYTES
        room = await server.make_room()
        target = RestoreTarget(project="demo", service="search", node="here", directory=room.directory)
        await restore(driver_of(server, folder.parent / "work"), backup, target)
        assert await server.snapshot_restored() == before
        opener = server.opener(server.choose([record]))
        assert data.startswith(opener.magic)
        listed = await asyncio.to_thread(subprocess.run, opener.argv, input=data, check=True, capture_output=True)
        assert "the documents of 2 indexes among them" in opener.describe(listed.stdout)
    assert told == sorted(told)
    assert (folder / "data.ms").exists()
    host, _, port = server.place.rpartition(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


async def test_the_data_are_the_same_each_time(folder: Path) -> None:
    sums = []
    for name in ("one", "two"):
        async with ENGINE.running(folder / name) as server:
            await server.fill(100_000, lambda _: None)
            sums.append((await server.snapshot()).tables)
    assert sums[0] == sums[1]


async def test_a_snapshot_tells_changes(folder: Path) -> None:
    async with ENGINE.running(folder) as server:
        await server.fill(100_000, lambda _: None)
        before = await server.snapshot()
        url = f"http://{server.place}"
        client = Client(url, server._master_key)  # type: ignore[attr-defined]
        await asyncio.to_thread(_do, client, "products")
        after = await server.snapshot()
        assert after.tables["products"] != before.tables["products"]
        assert after.tables["reviews"] == before.tables["reviews"]


def _do(client: Client, uid: str) -> None:
    task = client.index(uid).update_documents([{"id": 1, "price": 0.01}])
    assert client.wait_for_task(task.task_uid).status == "succeeded"


async def test_a_missing_program_is_named_with_where_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunFailed, match=r"meilisearch, tar; get meilisearch from https") as caught:
        ENGINE.check()
    assert caught.value.code == "engine.tool_missing"


async def test_a_program_that_does_not_start_tells_its_words(folder: Path) -> None:
    program = shutil.which("meilisearch")
    assert program is not None
    Path(program).write_text("#!/bin/sh\necho 'cannot map memory' >&2\nexit 3\n")
    with pytest.raises(Unavailable) as caught:
        async with ENGINE.running(folder):
            pass
    assert caught.value.code == "engine.unreachable"
    assert "cannot map memory" in str(caught.value.detail)
