"""What a host may lack: the tree, its file system, the right tar."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest

from agents.drivers.kinds import make_driver
from agents.drivers.shared_storage import root
from agents.drivers.shared_storage.connection import SharedStorageConnection
from agents.drivers.shared_storage.driver import SharedStorageDriver
from agents.drivers.shared_storage.root import look_at_health, look_at_root
from contracts.errors import RunFailed
from contracts.services import SharedStorageOptions
from tests.agents.drivers.shared_storage.engine import Tree


@pytest.mark.parametrize("root_dir", ["relative", "/", "", "//", "/.", "/x/.."])
def test_the_root_has_to_be_an_absolute_path_below_the_hosts_own(root_dir: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"kind": "shared-storage", "root_dir": root_dir}, SharedStorageConnection)


def test_the_kinds_know_the_driver(tmp_path: Path) -> None:
    driver = make_driver(
        SharedStorageConnection(root_dir=str(tmp_path)), SharedStorageOptions(), runtime_dir=tmp_path, work_dir=tmp_path
    )
    assert isinstance(driver, SharedStorageDriver)
    assert driver.capabilities.paths
    assert driver.capabilities.directory


async def test_a_missing_tree_is_asked_to_be_mounted(tmp_path: Path) -> None:
    health = await look_at_health(str(tmp_path / "missing"), "")
    assert not health.reachable
    assert health.error is not None
    assert health.error.code == "engine.unreachable"
    assert health.error.message == f"{tmp_path}/missing does not exist on this host: is its file system mounted?"


async def test_a_file_is_no_tree(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(RunFailed) as caught:
            await look_at_root(str(tmp_path / path))
        assert caught.value.code == "engine.unreachable"
        assert str(tmp_path / path) in caught.value.message


async def test_an_empty_tree_is_backed_up_with_a_word_of_caution(empty_tree: Tree) -> None:
    plan = await empty_tree.driver().plan_backup()
    assert "the tree is empty" in plan.warnings[0]
    assert "may not be mounted" in plan.warnings[0]


async def test_a_file_system_that_does_not_answer_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with a hard NFS mount whose server is gone: the call never returns, and cannot be cancelled."""
    go_on = threading.Event()
    asked = []

    def hangs(path: str) -> tuple[int, int]:
        asked.append(path)
        go_on.wait(30)
        return 1, 1

    with monkeypatch.context() as patch:
        patch.setattr(root, "_look", hangs)
        for _ in range(3):
            with pytest.raises(RunFailed) as caught:
                await look_at_root(str(tmp_path), timeout_s=0.05)
            assert caught.value.code == "engine.unreachable"
            assert "does not answer" in caught.value.message
        assert len(asked) == 1
    thread = root._stuck[str(tmp_path)]
    go_on.set()
    await asyncio.to_thread(thread.join, 10)
    assert await look_at_root(str(tmp_path)) == (tmp_path.stat().st_dev, tmp_path.stat().st_ino)


def fake_tar(directory: Path, script: str) -> str:
    (directory / "tar").write_text(f"#!/bin/sh\n{script}\n")
    (directory / "tar").chmod(0o755)
    return str(directory)


@pytest.mark.parametrize("line", ["bsdtar 3.6.2 - libarchive 3.6.2 zlib/1.2.13", "tar (busybox) 1.35", "x" * 500])
async def test_another_tar_is_refused_by_name(tmp_path: Path, line: str) -> None:
    health = await look_at_health("/etc", fake_tar(tmp_path, f"echo '{line}'"))
    assert health.reachable
    assert health.error is not None
    assert health.error.code == "engine.tool_missing"
    assert "is not GNU tar" in health.error.message
    assert line[:50] in health.error.message
    assert "apt-get install tar" in health.error.message


async def test_a_tar_that_is_too_old_is_refused(tmp_path: Path) -> None:
    health = await look_at_health("/etc", fake_tar(tmp_path, "echo 'tar (GNU tar) 1.26'"))
    assert health.error is not None
    assert health.error.code == "engine.version_skew"
    assert "GNU tar 1.26" in health.error.message
    assert "1.28" in health.error.message


async def test_a_broken_tar_is_refused(tmp_path: Path) -> None:
    health = await look_at_health("/etc", fake_tar(tmp_path, "echo 'no libacl' >&2; exit 127"))
    assert health.error is not None
    assert health.error.code == "engine.tool_missing"
    assert "ended with status 127" in health.error.message
    assert health.error.detail == "no libacl"


async def test_a_missing_tar_is_told_with_its_package(empty_tree: Tree) -> None:
    connection = SharedStorageConnection(root_dir=str(empty_tree.root), bin_dir=str(empty_tree.directory / "none"))
    driver = SharedStorageDriver(connection, runtime_dir=empty_tree.directory, work_dir=empty_tree.directory)
    with pytest.raises(RunFailed) as caught:
        await driver.plan_backup()
    assert caught.value.code == "engine.tool_missing"
    assert "apt-get install tar" in caught.value.message
    with pytest.raises(RunFailed):
        await driver.check_restore([], empty_tree.target())
