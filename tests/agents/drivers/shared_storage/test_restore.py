"""Restoring a whole tree: where it goes, and what an archive cannot make tar do."""

from __future__ import annotations

import io
import os
import re
import tarfile
from pathlib import Path

import pytest

from contracts.errors import Conflict, InvalidInput, RunFailed
from tests.agents.drivers.playing import Backup, back_up, feed, restore
from tests.agents.drivers.shared_storage import trees
from tests.agents.drivers.shared_storage.engine import Tree

RUN = "20261122T000512Z-cccc"


def crafted(backup: Backup, *members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive that no backup of ours has."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    return info


async def take_in(tree: Tree, backup: Backup, data: bytes, *, replace: bool = False) -> None:
    target = tree.target(replace=replace, directory="copy")
    async with tree.driver().restore(backup.records[0], target, RUN) as sink:
        await feed(sink, data)
        await sink.finish()


async def test_a_tree_is_restored_beside_the_original(tree: Tree) -> None:
    before = await tree.content()
    backup = await back_up(tree.driver())
    (outcome,) = await restore(tree.driver(), backup, tree.target(directory="copy"))
    assert outcome == {"in_place": f"{tree.elsewhere}/copy", "warnings": []}
    assert trees.content(tree.elsewhere / "copy") == before
    assert await tree.content() == before
    assert await tree.leftovers() == []


async def test_a_tree_is_restored_where_its_directory_was_lost(tree: Tree) -> None:
    before = await tree.content()
    backup = await back_up(tree.driver())
    tree.root.rename(tree.directory / "lost")
    await restore(tree.driver(), backup, tree.target())
    assert await tree.content() == before


@pytest.mark.parametrize("directory", ["/etc/strongroom", "../data", "a/../../x"])
async def test_a_directory_that_the_host_does_not_allow_is_refused(tree: Tree, directory: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await tree.driver().check_restore([], tree.target(directory=directory, replace=True))
    assert caught.value.field == "directory"


async def test_a_directory_without_a_parent_is_refused(tree: Tree) -> None:
    with pytest.raises(RunFailed) as caught:
        await tree.driver().check_restore([], tree.target(directory="a/b"))
    assert f"{tree.elsewhere}/a does not exist" in caught.value.message


async def test_what_somebody_has_put_there_meanwhile_is_kept(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    copy = tree.elsewhere / "copy"

    async def somebody() -> None:
        copy.mkdir()
        (copy / "theirs").touch()

    with pytest.raises(Conflict) as caught:
        await restore(tree.driver(), backup, tree.target(directory="copy"), confirm=somebody)
    assert caught.value.code == "restore.target_not_empty"
    assert os.listdir(copy) == ["theirs"]  # noqa: PTH208
    assert await tree.leftovers() == []


async def test_a_restore_that_is_repeated_says_the_same(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    async with tree.driver().restore(backup.records[0], tree.target(directory="copy"), RUN) as sink:
        await feed(sink, backup.artifacts[0][1])
        assert await sink.finish() == await sink.finish()


async def test_what_a_killed_attempt_left_is_cleared_by_the_next(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    left = tree.elsewhere / ".strongroom-restoring-copy-20261121T000512Z-dead"
    (left / "half").mkdir(parents=True)
    await restore(tree.driver(), backup, tree.target(directory="copy"))
    assert await tree.leftovers() == []


@pytest.mark.parametrize("data", [b"", b"\x28\xb5\x2f\xfd no tar", bytes(100)], ids=["nothing", "no tar", "half a block"])
async def test_what_is_no_archive_makes_no_tree(tree: Tree, data: bytes) -> None:
    backup = await back_up(tree.driver())
    with pytest.raises(RunFailed) as caught:
        await take_in(tree, backup, data)
    assert caught.value.code == "restore.failed"
    assert re.search("does not look like a tar archive|Archive is compressed", caught.value.detail or "")
    assert list(tree.elsewhere.iterdir()) == []


async def test_an_archive_cannot_write_outside_of_its_directory(tree: Tree) -> None:
    """What was backed up is not ours: whoever may write into a tree must not thereby write elsewhere as root."""
    backup = await back_up(tree.driver())
    outside = tree.directory / "outside"
    outside.mkdir()
    data = crafted(
        backup,
        (member("./ok"), b"fine"),
        (member("./link", tarfile.SYMTYPE, str(outside)), b""),
        (member("./link/through"), b"evil"),
        (member(f"{outside}/absolute"), b"evil"),
        (member("./up", tarfile.SYMTYPE, "../.."), b""),
        (member("./up/outside/relative"), b"evil"),
        (member("../../outside/dots"), b"evil"),
    )
    with pytest.raises(RunFailed):
        await take_in(tree, backup, data)
    assert list(outside.iterdir()) == []
    assert list(tree.elsewhere.iterdir()) == []


async def test_links_that_lead_elsewhere_come_back_as_links(tree: Tree) -> None:
    backup = await back_up(tree.driver())
    await restore(tree.driver(), backup, tree.target(directory="copy"))
    copy = tree.elsewhere / "copy" / "links"
    assert (copy / "absolute").readlink() == Path("/etc/hostname")
    assert (copy / "outside").readlink() == Path("../..")
    assert (copy / "dangling").readlink() == Path("nowhere")


async def test_a_scratch_tree_that_is_left_in_the_middle_leaves_nothing(tree: Tree, tmp_path: Path) -> None:
    backup = await back_up(tree.driver())
    directory = tmp_path / "scratch"
    directory.mkdir()
    async with tree.driver().scratch(directory) as scratch:
        async with scratch.driver.restore(backup.records[0], scratch.target, RUN) as sink:
            await feed(sink, backup.artifacts[0][1][:100_000])
        assert list(directory.iterdir()) == []
    assert list(directory.iterdir()) == []
