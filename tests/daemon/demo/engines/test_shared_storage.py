"""The demo's directory tree."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import RunFailed
from contracts.records import ArtifactRecord
from daemon.demo.engines.base import DemoEngine, DemoServer
from daemon.demo.engines.shared_storage import SharedStorageEngine
from tests.servers.directories import server_directory
from tests.servers.tools import tool

SIZE = 5_000_000


@pytest.fixture
def folder() -> Iterator[Path]:
    with server_directory("files") as directory:
        yield directory


def archive(root: Path) -> bytes:
    """As the driver makes it."""
    command = [tool("tar"), "-c", "--format=posix", "--xattrs", "--acls", "--sparse", "--sort=name", "-C", str(root), "."]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


async def test_it_fills_looks_and_makes_room(folder: Path) -> None:
    demo: DemoEngine = SharedStorageEngine()
    demo.check()
    told: list[int] = []
    async with demo.running(folder / "server") as server:
        at: DemoServer = server
        assert await at.fill(SIZE, told.append) > SIZE / 2
        assert told == sorted(told)
        assert abs(told[-1] - SIZE) < SIZE / 5
        data = archive(Path(at.place))
        assert abs(len(data) - SIZE) < SIZE / 5
        before = await at.snapshot()
        assert before == await at.snapshot()
        assert before.tables["invoices"].rows > before.tables["photos"].rows > 0
        assert "disk.img" in before.objects["entry"]
        room = await at.make_room()
        restored = Path(room.directory)
        restored.mkdir()
        command = [tool("tar"), "-xp", "--xattrs", "--acls", "--numeric-owner", "-C", str(restored)]
        subprocess.run(command, input=data, check=True)
        assert await at.snapshot_restored() == before
    assert (Path(at.place) / "photos").is_dir()


async def test_a_snapshot_sees_every_change(folder: Path) -> None:
    async with SharedStorageEngine().running(folder / "server") as server:
        await server.fill(500_000, lambda _: None)
        root = Path(server.place)
        before = await server.snapshot()
        for change in (
            lambda: (root / "payroll.txt").write_text("for all\n"),
            lambda: (root / "payroll.txt").chmod(0o644),
            (root / "current invoices").unlink,
            lambda: next((root / "photos").rglob("product*")).unlink(),
        ):
            change()
            after = await server.snapshot()
            assert after != before
            before = after


async def test_two_trees_of_one_size_have_the_same_content(folder: Path) -> None:
    snapshots = []
    for name in ("first", "second"):
        async with SharedStorageEngine().running(folder / name) as server:
            await server.fill(500_000, lambda _: None)
            snapshots.append(await server.snapshot())
    assert snapshots[0] == snapshots[1]


async def test_the_listing_is_told_in_a_sentence(folder: Path) -> None:
    async with SharedStorageEngine().running(folder / "server") as server:
        await server.fill(500_000, lambda _: None)
        artifact = ArtifactRecord(
            name="tree", kind="tree", format="tar-posix", object_key="k", stored_bytes=1, plain_bytes=1, sha256="0" * 64
        )
        assert server.choose([artifact]) == artifact
        opener = server.opener(artifact)
        listing = subprocess.run(opener.argv, input=archive(Path(server.place)), stdout=subprocess.PIPE, check=True).stdout
    assert opener.describe(listing).endswith("files and 2 links among them")


@pytest.mark.parametrize("version", ["", "echo bsdtar 3.6.2"])
def test_a_missing_program_is_told_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    if version:
        (tmp_path / "tar").write_text(f"#!/bin/sh\n{version}\n")
        (tmp_path / "tar").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunFailed, match="apt-get install tar") as caught:
        SharedStorageEngine().check()
    assert caught.value.code == "engine.tool_missing"
