"""Plans, options and health."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.driver import QdrantDriver
from contracts.errors import InvalidInput, RunFailed
from contracts.services import QdrantOptions
from tests.agents.drivers.playing import back_up
from tests.agents.drivers.qdrant.engine import ODD_NAMES, QdrantEngine
from tests.servers.qdrant.server import install_program

NAME = ODD_NAMES[1]


async def test_patterns_choose_collections(fake: QdrantEngine) -> None:
    plan = await fake.driver(QdrantOptions(include=["it*", "none*"], exclude=["aliases"])).plan_backup()
    assert list(plan.inventory["counts"]) == [NAME]
    assert plan.warnings == ["no collection matches --include 'none*'"]
    rest = await fake.driver(QdrantOptions(exclude=["it*"])).plan_backup()
    assert NAME not in rest.inventory["counts"]


async def test_a_name_that_does_not_exist_fails_the_plan(fake: QdrantEngine) -> None:
    with pytest.raises(RunFailed) as caught:
        await fake.driver(QdrantOptions(include=["ordesr"])).plan_backup()
    assert caught.value.code == "engine.database_not_found"


async def test_a_plan_holds_what_people_ask_for(fake: QdrantEngine) -> None:
    plan = await fake.driver(QdrantOptions(parallel=3)).plan_backup()
    assert plan.parallel == 3
    assert plan.tools == {"qdrant": "1.18.2"}
    assert plan.summary == {"collections": 3, "points": 60, "aliases": 3}
    assert plan.inventory["aliases"] == {"alias mit Umlaut ß": NAME, "current": ODD_NAMES[0], "other": NAME}
    known = plan.inventory["collections"][NAME]
    assert known["points"] == 20
    assert known["config"]["params"]["vectors"] == {"size": 4, "distance": "Cosine"}


async def test_snapshots_may_be_made_side_by_side(fake: QdrantEngine) -> None:
    driver = fake.driver(QdrantOptions(parallel=3))
    plan = await driver.plan_backup()

    async def dump(at: int) -> int:
        async with driver.dump(plan.artifacts[at]) as source:
            data = await asyncio.to_thread(_read, source.fd)
            await source.finish(len(data), data[:1024], data[-1024:])
            return len(data)

    assert min(await asyncio.gather(*map(dump, range(len(plan.artifacts))))) > 100
    assert await fake.leftovers() == []


async def test_a_server_that_hangs_is_told_in_a_few_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.drivers.qdrant.health._LOOK_S", 0.2)

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        driver = QdrantDriver(QdrantConnection(url=[url]), runtime_dir=tmp_path, work_dir=tmp_path)
        health = await driver.health()
    assert not health.reachable
    assert health.error is not None
    assert health.error.code == "engine.unreachable"
    assert url in health.error.message


async def test_something_else_on_the_port_is_told(tmp_path: Path) -> None:
    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi")
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        driver = QdrantDriver(QdrantConnection(url=[url]), runtime_dir=tmp_path, work_dir=tmp_path)
        health = await driver.health()
    assert health.error is not None
    assert health.error.code == "engine.refused"


@pytest.mark.parametrize("url", ["127.0.0.1:6333", "http://user:secret@127.0.0.1:6333", "ftp://x", "http://x/?a=b"])
def test_urls_that_cannot_be_are_refused(url: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kind": "qdrant", "url": [url]}, QdrantConnection)


async def test_a_ca_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    connection = QdrantConnection(url=["https://127.0.0.1:1"], ca_file=str(tmp_path / "none.pem"))
    driver = QdrantDriver(connection, runtime_dir=tmp_path, work_dir=tmp_path)
    with pytest.raises(InvalidInput) as caught:
        await driver.plan_backup()
    assert caught.value.field == "connection.ca_file"


async def test_a_rehearsal_whose_server_does_not_start_says_why_and_leaves_nothing(
    fake: QdrantEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await back_up(fake.driver())
    program = install_program(tmp_path)
    program.write_text("#!/bin/sh\necho no room for a server >&2\nexit 3\n")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    directory = tmp_path / "scratch"
    directory.mkdir()
    with pytest.raises(RunFailed) as caught:
        async with fake.driver().scratch(directory):
            pass
    assert caught.value.code == "restore.failed"
    assert caught.value.detail == "no room for a server"
    assert list(directory.iterdir()) == []


def _read(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return file.read()
