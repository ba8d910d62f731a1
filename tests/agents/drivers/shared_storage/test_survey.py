"""The look at a tree: figures that are right, and bounded whatever is there."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from agents.drivers.filesystem import remove_tree
from agents.drivers.shared_storage import survey as surveying
from agents.drivers.shared_storage.exclusion import Exclusion
from agents.drivers.shared_storage.planning import take_survey
from agents.drivers.shared_storage.survey import IN_FURTHER, Survey, survey
from contracts.errors import RunFailed
from tests.agents.drivers.playing import back_up, restore
from tests.agents.drivers.shared_storage import trees
from tests.agents.drivers.shared_storage.engine import Tree, as_nobody
from tests.servers.directories import server_directory

NOTHING_LEFT_OUT = Exclusion([])


def look(root: Path) -> Survey:
    return survey(str(root), NOTHING_LEFT_OUT, one_file_system=True)


def test_each_sort_of_entry_is_counted(tree: Tree) -> None:
    trees.add_socket(tree.root / "socket")
    found = look(tree.root)
    everything = list(tree.root.rglob("*"))
    regular = [path for path in everything if path.is_file() and not path.is_symlink()]
    assert found.files == len(regular)
    assert found.directories == sum(path.is_dir() and not path.is_symlink() for path in everything)
    assert found.symbolic_links == 4
    assert found.special == 1
    assert found.hard_links == 2
    assert found.sockets == 1
    assert found.size_bytes == sum(path.stat().st_size // path.stat().st_nlink for path in regular)


async def test_the_estimate_is_near_the_archives_size(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    (planned,), ((record, _),) = backup.plan.artifacts, backup.artifacts
    assert 0.9 < planned.estimate_bytes / record.plain_bytes < 1.1


def test_holes_count_for_nothing(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**12)
    found = look(tmp_path)
    assert found.size_bytes == 10**12
    assert found.archive_bytes < 100_000
    assert found.without_blocks == 0


def test_directories_beyond_the_first_are_counted_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveying, "MAX_TOPS", 3)
    for name in "ecabd":
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / "at the top").touch()
    assert look(tmp_path).counts == {".": 1, "a": 1, "b": 1, "c": 1, IN_FURTHER: 2}


async def test_a_tree_deeper_than_there_are_descriptors_is_backed_up_replaced_and_restored(empty_tree: Tree) -> None:
    root = empty_tree.root
    path = root
    for _ in range(1100):
        path /= "d"
        path.mkdir()
    (path / "file").write_text("deep")
    found = look(root)
    assert (found.files, found.directories) == (1, 1100)
    backup = await back_up(empty_tree.driver())
    await restore(empty_tree.driver(), backup, empty_tree.target(replace=True))
    assert (path / "file").read_text() == "deep"
    _remove(root)
    assert await empty_tree.leftovers() == []


def _remove(directory: Path) -> None:
    """What `shutil.rmtree` cannot remove."""
    fd = os.open(directory.parent, os.O_PATH)
    failures: list[str] = []
    remove_tree(directory.name, dir_fd=fd, failed=lambda path, _: failures.append(path))
    os.close(fd)
    assert failures == []
    assert not directory.exists()


async def test_a_path_longer_than_the_kernel_takes_is_backed_up_without_being_counted(empty_tree: Tree) -> None:
    fd = os.open(empty_tree.root, os.O_PATH)
    name = "x" * 250
    for _ in range(20):
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_PATH, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("deepest file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    backup = await back_up(empty_tree.driver())
    assert any("too deep" in warning for warning in backup.warnings)
    assert b"deepest file" in backup.artifacts[0][1]


def test_other_file_systems_are_named_and_not_entered() -> None:
    """/dev/shm is one of its own on every Linux."""
    left_out = Exclusion(["[!s]*"])
    found = survey("/dev", left_out, one_file_system=True)
    assert "shm" in found.mounts
    assert found.mount_count == len(found.mounts)
    assert "shm" in found.counts
    assert found.counts["shm"] == 0


def test_a_directory_that_may_not_be_read_is_named() -> None:
    with server_directory("files") as root:  # which, unlike pytest's, others can get to
        root.chmod(0o755)
        closed = root / "a" / "closed"
        closed.mkdir(parents=True)
        closed.chmod(0)
        with as_nobody(closed), pytest.raises(RunFailed) as caught:
            look(root)
        assert caught.value.code == "engine.permission"
        assert str(closed) in caught.value.message
        assert "CAP_DAC_READ_SEARCH" in caught.value.message
        with as_nobody(closed):
            assert survey(str(root), Exclusion(["a/closed"]), one_file_system=True).excluded == 1


def test_what_is_removed_meanwhile_does_no_harm(tmp_path: Path) -> None:
    for number in range(500):
        (tmp_path / f"{number}").mkdir()

    def remove() -> bool:
        for path in list(tmp_path.iterdir())[:25]:
            path.rmdir()
        return False

    found = survey(str(tmp_path), NOTHING_LEFT_OUT, one_file_system=True, stopped=remove)
    assert 0 < found.directories <= 500


async def test_a_cancelled_look_ends_its_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(*_: object, stopped: object, **__: object) -> Survey:
        begun.set()
        assert callable(stopped)
        while not stopped():
            ended.wait(0.01)
        ended.set()
        return Survey()

    monkeypatch.setattr("agents.drivers.shared_storage.planning.survey", endless)
    task = asyncio.create_task(take_survey(str(tmp_path), NOTHING_LEFT_OUT, one_file_system=True))
    assert await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    await asyncio.wait([task])
    assert await asyncio.to_thread(ended.wait, 10)
