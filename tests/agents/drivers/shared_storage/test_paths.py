"""Restoring single files and directories into a tree that stays."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from agents.drivers.shared_storage import paths as placing_paths
from contracts.errors import Conflict, InvalidInput, RunFailed
from tests.agents.drivers.playing import back_up, restore
from tests.agents.drivers.shared_storage import trees
from tests.agents.drivers.shared_storage.engine import Tree


def entries(content: Any, *below: bytes) -> dict[bytes, Any]:
    return {
        path: entry for path, entry in content.items() if any(path == each or path.startswith(each + b"/") for each in below)
    }


async def test_single_paths_come_back_and_all_else_stays(tree: Tree) -> None:
    before = await tree.content()
    backup = await back_up(tree.driver())
    await tree.change()
    changed = await tree.content()
    target = tree.target(paths=["links", "rights/private", "large"], replace=True)
    (outcome,) = await restore(tree.driver(), backup, target)
    assert outcome == {"in_place": str(tree.root), "paths": ["links", "rights/private", "large"], "warnings": []}
    after = await tree.content()
    assert entries(after, b"links", b"rights/private", b"large") == entries(before, b"links", b"rights/private", b"large")
    assert after[b"added"] == changed[b"added"]
    assert after.keys() == before.keys() | {b"added"}
    assert await tree.leftovers() == []


async def test_directories_above_that_are_missing_come_along_with_their_rights(tree: Tree) -> None:
    before = await tree.content()
    backup = await back_up(tree.driver())
    await tree.wipe()
    await restore(tree.driver(), backup, tree.target(paths=["rights/sticky", "rights/private", "special/sparse"]))
    after = await tree.content()
    assert set(after) == {
        b".",
        b"rights",
        b"rights/sticky",
        b"rights/private",
        b"special",
        b"special/sparse",
        b"links of one file",
    }
    for path in set(after) - {b".", b"links of one file"}:
        assert after[path] == before[path]


async def test_paths_go_into_a_directory_of_their_own(tree: Tree) -> None:
    before = await tree.content()
    backup = await back_up(tree.driver())
    target = tree.target(directory="copy", paths=["links/first", "links/second", "special"])
    await restore(tree.driver(), backup, target)
    copy = trees.content(tree.elsewhere / "copy")
    assert copy is not None
    assert entries(copy, b"special") == entries(before, b"special")
    assert copy[b"links of one file"] == [[b"links/first", b"links/second"]]
    assert copy[b"."] == before[b"."]
    assert b"large" not in copy
    assert await tree.content() == before


@pytest.mark.parametrize("name", [os.fsdecode(name) for name in trees.ODD_NAMES])
async def test_names_are_taken_literally_or_as_they_are_listed(tree: Tree, name: str) -> None:
    from agents.drivers.shared_storage.names import readable

    backup = await back_up(tree.driver())
    (tree.root / name).unlink()
    text = readable(name)
    await restore(tree.driver(), backup, tree.target(paths=[text]))
    assert (tree.root / name).read_bytes() == os.fsencode(name)
    if "\udcff" not in name:  # what no message can carry
        (tree.root / name).unlink()
        await restore(tree.driver(), backup, tree.target(paths=[name]))
        assert (tree.root / name).read_bytes() == os.fsencode(name)


async def test_wildcards_are_no_wildcards(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    with pytest.raises(RunFailed) as caught:
        await restore(tree.driver(), backup, tree.target(paths=["l*"], directory="copy"))
    assert "the backup has no l*" in caught.value.message


async def test_a_path_that_is_not_in_the_backup_is_named_and_nothing_is_restored(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    await tree.wipe()
    before = await tree.content()
    with pytest.raises(RunFailed) as caught:
        await restore(tree.driver(), backup, tree.target(paths=["large", "links/none", "no\nne"]))
    assert caught.value.code == "restore.failed"
    assert "the backup has no links/none, no\\nne" in caught.value.message
    assert await tree.content() == before
    assert await tree.leftovers() == []


async def test_a_hard_link_without_its_first_name_says_which_one_that_is(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    with pytest.raises(RunFailed) as caught:
        await restore(tree.driver(), backup, tree.target(paths=["links/second"], directory="copy"))
    assert "links/second" in caught.value.message
    assert "'./links/first'" in caught.value.message
    assert list(tree.elsewhere.iterdir()) == []


async def test_a_path_that_exists_is_left_alone_unless_it_may_be_replaced(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    (tree.root / "links" / "first").unlink()
    before = await tree.content()
    with pytest.raises(Conflict) as caught:
        await restore(tree.driver(), backup, tree.target(paths=["links/first", "large", "rights"]))
    assert caught.value.code == "restore.target_not_empty"
    assert "has large, rights already" in caught.value.message
    assert await tree.content() == before


async def test_a_path_that_somebody_has_made_meanwhile_is_left_alone(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    for name in ("large", "a: file changed as we read it"):
        (tree.root / name).unlink()

    async def somebody() -> None:
        (tree.root / "large").write_text("theirs")

    with pytest.raises(Conflict):
        await restore(
            tree.driver(),
            backup,
            tree.target(paths=["a: file changed as we read it", "large"]),
            confirm=somebody,
        )
    assert (tree.root / "large").read_text() == "theirs"
    assert not (tree.root / "a: file changed as we read it").exists()
    assert await tree.leftovers() == []


async def test_no_link_of_the_tree_is_followed(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    outside = tree.directory / "outside"
    (tree.root / "links").rename(outside)
    (outside / "first").unlink()
    (tree.root / "links").symlink_to(outside)
    with pytest.raises(RunFailed) as caught:
        await restore(tree.driver(), backup, tree.target(paths=["links/first"], replace=True))
    assert caught.value.code == "restore.failed"
    assert "links" in caught.value.message
    assert not (outside / "first").exists()


async def test_a_link_that_was_put_in_the_way_meanwhile_is_not_followed(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    outside = tree.directory / "outside"
    (tree.root / "links" / "first").unlink()

    async def somebody() -> None:
        (tree.root / "links").rename(outside)
        (tree.root / "links").symlink_to(outside)

    with pytest.raises(RunFailed):
        await restore(tree.driver(), backup, tree.target(paths=["links/first"]), confirm=somebody)
    assert not (outside / "first").exists()
    assert await tree.leftovers() == []


async def test_a_link_itself_is_replaced_and_not_what_it_points_to(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    outside = tree.directory / "outside"
    outside.write_text("theirs")
    (tree.root / "large").unlink()
    (tree.root / "large").symlink_to(outside)
    await restore(tree.driver(), backup, tree.target(paths=["large"], replace=True))
    assert (tree.root / "large").stat().st_size == trees.LARGE_BYTES
    assert outside.read_text() == "theirs"


async def test_a_directory_takes_the_place_of_a_file_and_the_other_way_round(tree: Tree) -> None:
    before = await tree.content()
    backup = await back_up(tree.driver())
    (tree.root / "large").unlink()
    (tree.root / "large" / "dir").mkdir(parents=True)
    (tree.root / "links").rename(tree.directory / "outside")
    (tree.root / "links").write_text("a file")
    await restore(tree.driver(), backup, tree.target(paths=["large", "links"], replace=True))
    after = await tree.content()
    assert entries(after, b"large", b"links") == entries(before, b"large", b"links")
    assert await tree.leftovers() == []


@pytest.mark.parametrize("can_exchange", [True, False])
async def test_when_one_path_cannot_be_placed_all_go_back(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    backup = await back_up(tree.driver())
    await tree.change()
    before = await tree.content()
    exchange, calls = placing_paths.exchange, []  # type: ignore[attr-defined]

    def failing(first: str, *args: Any, **options: Any) -> bool:
        calls.append(first)
        if first == "special":
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), first)
        return bool(exchange(first, *args, **options)) if can_exchange else False

    monkeypatch.setattr(placing_paths, "exchange", failing)
    with pytest.raises(RunFailed) as caught:
        await restore(tree.driver(), backup, tree.target(paths=["large", "links", "special"], replace=True))
    assert "cross-device" in caught.value.message
    after = await tree.content()
    for content in (before, after):
        content[b"."].pop("mtime_ns")
    assert after == before
    assert "large" in calls
    assert await tree.leftovers() == []


async def test_a_cancellation_while_paths_are_placed_takes_all_of_them_back(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = await back_up(tree.driver())
    await tree.change()
    before = await tree.content()
    placing, go_on = threading.Event(), threading.Event()
    place = placing_paths.PathsRestore._place

    def slow(self: placing_paths.PathsRestore) -> None:
        place(self)
        placing.set()
        go_on.wait(10)

    monkeypatch.setattr(placing_paths.PathsRestore, "_place", slow)
    target = tree.target(paths=["links", "rights/private", "large"], replace=True)
    restoring = asyncio.create_task(restore(tree.driver(), backup, target))
    assert await asyncio.to_thread(placing.wait, 10)
    restoring.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([restoring])
    assert restoring.cancelled()
    after = await tree.content()
    for content, directory in itertools.product((before, after), (b".", b"rights")):
        content[directory].pop("mtime_ns")  # something came and went in it
    assert after == before
    assert await tree.leftovers() == []


async def test_a_file_system_that_cannot_exchange_names_takes_two_steps(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await tree.content()
    backup = await back_up(tree.driver())
    await tree.change()
    monkeypatch.setattr(placing_paths, "exchange", lambda *_args, **_options: False)
    await restore(tree.driver(), backup, tree.target(paths=["large", "rights", "links"], replace=True))
    after = await tree.content()
    assert entries(after, b"large", b"rights", b"links") == entries(before, b"large", b"rights", b"links")
    assert await tree.leftovers() == []


async def test_a_mounted_file_system_is_not_replaced(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.drivers import filesystem

    backup = await back_up(tree.driver())
    before = await tree.content()
    monkeypatch.setattr(filesystem, "mount_points", lambda: [tree.root / "rights" / "closed"])
    with pytest.raises(RunFailed) as caught:
        await restore(tree.driver(), backup, tree.target(paths=["rights"], replace=True))
    assert f"{tree.root}/rights/closed" in caught.value.message
    assert await tree.content() == before


async def test_what_lies_below_another_path_needs_no_place_of_its_own(tree: Tree) -> None:
    before = await tree.content()
    backup = await back_up(tree.driver())
    await tree.change()
    await restore(tree.driver(), backup, tree.target(paths=["links/first", "links", "links/"]))
    assert entries(await tree.content(), b"links") == entries(before, b"links")


@pytest.mark.parametrize(
    "path", ["/etc", "..", "a/../..", "", ".", "./", "\udcff", "a\0", ".strongroom-restoring-x", "x" * 5000]
)
async def test_what_is_no_path_of_a_tree_is_refused(tree: Tree, path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await tree.driver().check_restore([], tree.target(paths=[path]))
    assert caught.value.field == "paths"
    caught.value.message.encode()


async def test_too_many_paths_are_refused(tree: Tree) -> None:
    with pytest.raises(InvalidInput):
        await tree.driver().check_restore([], tree.target(paths=[f"{number}" for number in range(2000)]))


async def test_a_target_that_is_a_file_is_refused(tree: Tree) -> None:
    (tree.elsewhere / "file").touch()
    with pytest.raises(RunFailed) as caught:
        await tree.driver().check_restore([], tree.target(paths=["large"], directory="file", replace=True))
    assert "is a file" in caught.value.message
    assert Path(tree.elsewhere / "file").is_file()
