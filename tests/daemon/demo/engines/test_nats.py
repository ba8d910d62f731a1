"""The demo's NATS server."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest

from contracts.errors import RunFailed
from contracts.records import ArtifactRecord
from daemon.demo.engines.base import DemoEngine, DemoServer
from daemon.demo.engines.nats import NatsEngine
from tests.servers.directories import server_directory

SIZE = 5_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_directory("nats") as directory:
        yield directory


def _artifact(name: str) -> ArtifactRecord:
    return ArtifactRecord(
        name=name, kind="stream", format="f", object_key="k", stored_bytes=1, plain_bytes=1, sha256="0" * 64
    )


async def _connected(server: DemoServer) -> Any:
    password = Path(server.connection["password_file"]).read_text()
    return await nats.connect(server.connection["url"], user=server.connection["user"], password=password)


async def test_it_fills_looks_and_makes_room(folder: Path) -> None:
    demo: DemoEngine = NatsEngine()
    demo.check()
    told: list[int] = []
    async with demo.running(folder / "server") as server:
        assert await server.fill(SIZE, told.append) > SIZE / 2
        assert told == sorted(told)
        assert abs(told[-1] - SIZE) < SIZE / 5
        before = await server.snapshot()
        assert before == await server.snapshot()
        assert set(before.tables) == {"ORDERS", "KV_stock", "OBJ_pictures"}
        assert all(table.rows for table in before.tables.values())
        assert set(before.objects["consumer"]) == {"ORDERS/billing"}
        room = await server.make_room()
        assert room.artifacts == []
        assert (await server.snapshot_restored()).tables == {}
    assert (folder / "server" / "jetstream").is_dir()


async def test_a_snapshot_sees_every_change(folder: Path) -> None:
    async with NatsEngine().running(folder / "server") as server:
        await server.fill(500_000, lambda _: None)
        client = await _connected(server)
        try:
            before = await server.snapshot()
            changes: tuple[Callable[[], Awaitable[Any]], ...] = (
                lambda: client.jetstream().publish("orders.de.new", b"one more"),
                lambda: client.jsm().delete_msg("ORDERS", 5),
                lambda: client.jsm().delete_consumer("ORDERS", "billing"),
                lambda: client.jsm().purge_stream("KV_stock", keep=1),
                lambda: client.jsm().delete_stream("OBJ_pictures"),
            )
            for change in changes:
                await change()
                after = await server.snapshot()
                assert after != before
                before = after
        finally:
            await client.close()


async def test_the_description_is_told_in_a_sentence(folder: Path) -> None:
    out = io.BytesIO()
    text = b'{"config": {"name": "ORDERS"}, "state": {"messages": 1234, "consumer_count": 1}}'
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        header = tarfile.TarInfo("backup.json")
        header.size = len(text)
        archive.addfile(header, io.BytesIO(text))
    async with NatsEngine().running(folder / "server") as server:
        chosen = server.choose([_artifact("KV_stock"), _artifact("ORDERS")])
        opener = server.opener(chosen)
    assert chosen.name == "ORDERS"
    assert out.getvalue().startswith(opener.magic)
    read = subprocess.run(opener.argv, input=out.getvalue(), stdout=subprocess.PIPE, check=True).stdout
    assert opener.describe(read) == "stream ORDERS: 1,234 messages and 1 consumer"


def test_a_missing_program_is_told_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunFailed, match="apt-get install tar") as caught:
        NatsEngine().check()
    assert caught.value.code == "engine.tool_missing"
