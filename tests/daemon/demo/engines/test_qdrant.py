"""The demo's Qdrant, with the tests' own server in the place of the program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from contracts.errors import RunFailed, StrongroomError
from daemon.demo.engines.base import DemoEngine, DemoServer
from daemon.demo.engines.qdrant import QdrantEngine
from tests.servers.directories import server_directory
from tests.servers.process import is_alive
from tests.servers.qdrant.server import install_program

SIZE = 5_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_directory("qdrant") as directory:
        yield directory


@pytest.fixture
def program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    programs = folder / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    return install_program(programs)


def test_a_missing_program_is_told_with_where_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(RunFailed, match="releases of Qdrant") as caught:
        QdrantEngine().check()
    assert caught.value.code == "engine.tool_missing"


async def test_it_fills_looks_and_makes_room(program: Path, folder: Path) -> None:
    demo: DemoEngine = QdrantEngine()
    demo.check()
    told: list[int] = []
    async with demo.running(folder / "server") as server:
        at: DemoServer = server
        assert await at.fill(SIZE, told.append) > SIZE / 2
        assert told == sorted(told)
        assert abs(told[-1] - SIZE) < SIZE / 5
        before = await at.snapshot()
        assert before == await at.snapshot()
        assert before.tables["products"].rows > before.tables["reviews"].rows > 0
        assert before.objects["alias"] == {"shop search": "products"}
        size, listing = await _native(at)
        assert abs(size - SIZE) < SIZE / 5
        assert "segments of vectors" in listing
        await at.make_room()
        assert (await at.snapshot_restored()).tables == {}


async def test_the_data_stay_when_the_server_is_stopped_and_are_the_same_each_time(program: Path, folder: Path) -> None:
    contents = []
    for name in ("one", "two"):
        async with QdrantEngine().running(folder / name) as server:
            await server.fill(100_000, lambda _: None)
            contents.append(await server.snapshot())
        assert [pid for pid in _processes(folder / name) if is_alive(pid)] == []
    assert contents[0] == contents[1]
    async with QdrantEngine().running(folder / "two") as server:
        assert await server.snapshot() == contents[1]


async def test_a_server_that_does_not_start_says_why(program: Path, folder: Path) -> None:
    program.write_text("#!/bin/sh\necho no room for a server >&2\nexit 3\n")
    with pytest.raises(StrongroomError) as caught:
        async with QdrantEngine().running(folder / "server"):
            pass
    assert caught.value.code == "engine.unreachable"
    assert "no room for a server" in f"{caught.value.message}{caught.value.detail}"


async def _native(server: DemoServer) -> tuple[int, str]:
    """(size of all snapshots, what the demo says of the largest)."""
    url, key = server.connection["url"][0], Path(server.connection["api_key_file"]).read_text()
    size, listing = 0, ""
    async with aiohttp.ClientSession(headers={"api-key": key}) as session:
        for name in ("reviews", "products"):
            async with session.post(f"{url}/collections/{name}/snapshots") as answer:
                made = json.loads(await answer.text())["result"]
            async with session.get(f"{url}/collections/{name}/snapshots/{made['name']}") as answer:
                data = await answer.read()
            size += len(data)
            opener = server.opener(None)  # type: ignore[arg-type]
            out = subprocess.run(list(opener.argv), input=data, capture_output=True, check=True).stdout
            listing = opener.describe(out)
    return size, listing


def _processes(folder: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found
