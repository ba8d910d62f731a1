"""How a restored tree comes into its place: as a whole or not at all, and again after an attempt that was killed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.drivers import filesystem, staging
from agents.drivers.directories import StagedTree, staged_tree
from contracts.errors import Conflict, RunFailed

RUN = "20261122T000512Z-aaaa"
OTHER_RUN = "20261121T000512Z-bbbb"

Kill = Callable[[str, int], None]


@pytest.fixture(params=["beside", "beside-without-exchange", "inside"])
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A target that can be renamed, one on a file system that cannot trade names, and a mount point."""
    directory = tmp_path / "data"
    directory.mkdir()
    if request.param == "beside-without-exchange":
        monkeypatch.setattr(staging, "exchange", lambda *_names, **_fd: False)
    if request.param == "inside":
        monkeypatch.setattr(filesystem, "mount_points", lambda: [directory])
    return directory


def fill(directory: Path, generation: str) -> None:
    for name in ("a", "b", "only-" + generation):
        (directory / name).write_text(generation)
    (directory / "below").mkdir()
    (directory / "below" / generation).touch()


def content(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): path.read_text() if path.is_file() else "directory"
        for path in sorted(directory.rglob("*"))
    }


def expected(generation: str) -> dict[str, str]:
    names = {"a": generation, "b": generation, f"only-{generation}": generation}
    return dict(sorted({**names, "below": "directory", f"below/{generation}": ""}.items()))


def names_around(target: Path) -> list[str]:
    """All that lies beside the target, and ours in it."""
    ours = [name for name in os.listdir(target) if name.startswith(".strongroom")] if target.is_dir() else []  # noqa: PTH208
    return sorted([path.name for path in target.parent.iterdir() if path.name != target.name] + ours)


async def restored(
    target: Path,
    generation: str = "new",
    run_id: str = RUN,
    *,
    replace: bool = True,
    meanwhile: Callable[[StagedTree], object] = id,
) -> None:
    async with staged_tree(target, run_id) as tree:
        fill(tree.path, generation)
        meanwhile(tree)
        await tree.place(replace=replace)


async def test_a_tree_takes_the_place_of_another(target: Path) -> None:
    fill(target, "old")
    await restored(target)
    assert content(target) == expected("new")
    assert names_around(target) == []


async def test_a_tree_takes_the_place_of_an_empty_directory(target: Path) -> None:
    await restored(target, replace=False)
    assert content(target) == expected("new")
    assert names_around(target) == []


async def test_an_empty_tree_takes_the_place_of_another(target: Path) -> None:
    fill(target, "old")
    async with staged_tree(target, RUN) as tree:
        await tree.place()
    assert content(target) == {}
    assert names_around(target) == []


async def test_a_tree_takes_a_place_where_there_was_nothing(tmp_path: Path) -> None:
    await restored(tmp_path / "data", replace=False)
    assert content(tmp_path / "data") == expected("new")
    assert names_around(tmp_path / "data") == []


async def test_the_tree_in_the_making_is_private_and_on_the_targets_file_system(target: Path) -> None:
    async with staged_tree(target, RUN) as tree:
        status = tree.path.stat()
        assert stat.S_IMODE(status.st_mode) == 0o700
        assert status.st_dev == target.stat().st_dev
        assert os.path.samestat(status, os.fstat(tree.fd))


async def test_the_target_gets_the_restored_roots_rights_and_times(target: Path) -> None:
    fill(target, "old")
    os.setxattr(target, "user.old", b"1")
    async with staged_tree(target, RUN) as tree:
        (tree.path / "file").touch()
        os.setxattr(tree.path, "user.new", b"2")
        tree.path.chmod(0o2751)
        os.utime(tree.path, ns=(1, 1_600_000_000_123_456_789))
        await tree.place()
    status = target.stat()
    assert stat.S_IMODE(status.st_mode) == 0o2751
    assert status.st_mtime_ns == 1_600_000_000_123_456_789
    assert os.listxattr(target) == ["user.new"]


async def test_rights_that_cannot_be_given_to_the_target_undo_all(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(target, "old")

    def fail(_: StagedTree) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(StagedTree, "_copy_attributes", fail)
    failure: RunFailed | None = None
    async with staged_tree(target, RUN) as tree:
        fill(tree.path, "new")
        try:
            await tree.place()
        except RunFailed as exc:
            failure = exc
    assert (failure is not None) == tree.inside
    assert content(target) == expected("old" if tree.inside else "new")
    assert names_around(target) == []


async def test_leaving_early_leaves_the_target_as_it_was(target: Path) -> None:
    fill(target, "old")
    async with staged_tree(target, RUN) as tree:
        fill(tree.path, "new")
    assert content(target) == expected("old")
    assert names_around(target) == []


async def test_an_error_leaves_the_target_as_it_was(target: Path) -> None:
    fill(target, "old")

    def fail(_: StagedTree) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await restored(target, meanwhile=fail)
    assert content(target) == expected("old")
    assert names_around(target) == []


async def test_a_cancellation_leaves_the_target_as_it_was(target: Path) -> None:
    fill(target, "old")
    begun = asyncio.Event()

    async def restoring() -> None:
        async with staged_tree(target, RUN) as tree:
            fill(tree.path, "new")
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(restoring())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert content(target) == expected("old")
    assert names_around(target) == []


@pytest.mark.parametrize("before", ["old", "empty", "nothing"])
async def test_a_cancellation_while_it_is_placed_leaves_the_target_as_it_was(
    target: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    target.chmod(0o751)
    if before == "old":
        fill(target, "old")
    elif before == "nothing":
        target.rmdir()
    was = target.stat() if target.exists() else None
    placing, go_on = threading.Event(), threading.Event()
    place = StagedTree._place

    def slow(self: StagedTree, replace: bool) -> None:
        placing.set()
        go_on.wait(10)
        place(self, replace)

    monkeypatch.setattr(StagedTree, "_place", slow)
    task = asyncio.create_task(restored(target, replace=before == "old"))
    assert await asyncio.to_thread(placing.wait, 10)
    task.cancel()
    await asyncio.sleep(0)
    go_on.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert target.exists() == (was is not None)
    assert content(target) == (expected("old") if before == "old" else {})
    if was is not None:
        assert (target.stat().st_mode, target.stat().st_uid) == (was.st_mode, was.st_uid)
    assert names_around(target) == []


async def test_what_somebody_has_put_there_meanwhile_is_kept_unless_it_may_be_replaced(target: Path) -> None:
    with pytest.raises(Conflict) as caught:
        await restored(target, replace=False, meanwhile=lambda _: fill(target, "old"))
    assert caught.value.code == "restore.target_not_empty"
    assert content(target) == expected("old")
    assert names_around(target) == []


async def test_a_link_that_was_put_in_the_targets_place_is_left_alone(tmp_path: Path) -> None:
    target, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    elsewhere.mkdir()
    fill(elsewhere, "old")
    with pytest.raises(RunFailed):
        await restored(target, meanwhile=lambda _: target.symlink_to(elsewhere))
    assert target.is_symlink()
    assert content(elsewhere) == expected("old")
    assert names_around(target) == ["elsewhere"]


async def test_a_tree_that_was_put_in_the_stagings_place_is_not_taken(target: Path) -> None:
    fill(target, "old")

    def replace(tree: StagedTree) -> None:
        tree.path.rename(tree.path.with_name(".strongroom-gone"))
        tree.path.mkdir()
        fill(tree.path, "foreign")

    with pytest.raises(RunFailed) as caught:
        await restored(target, meanwhile=replace)
    assert "somebody has put something else" in caught.value.message
    assert {name: text for name, text in content(target).items() if not name.startswith(".strongroom")} == expected("old")


async def test_a_link_on_the_way_to_the_target_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(RunFailed) as caught:
        async with staged_tree(tmp_path / "link" / "data", RUN):
            pass
    assert caught.value.code == "restore.failed"


async def test_a_file_system_that_was_mounted_in_the_target_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "data"
    target.mkdir()
    fill(target, "old")
    with pytest.raises(RunFailed) as caught:
        await restored(
            target, meanwhile=lambda _: monkeypatch.setattr(filesystem, "mount_points", lambda: [target / "below"])
        )
    assert str(target / "below") in caught.value.message
    assert content(target) == expected("old")


@pytest.mark.parametrize("failing", range(7))
async def test_each_step_that_fails_is_undone(target: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    fill(target, "old")
    steps = _count_steps(monkeypatch, fail_at=failing)
    failure: RunFailed | None = None
    try:
        await restored(target)
    except RunFailed as exc:
        failure = exc
    assert names_around(target) == []
    if failure is None:
        assert steps[0] <= failing  # there are fewer than that
        assert content(target) == expected("new")
    else:
        assert failure.code == "restore.failed"
        assert "No space left" in failure.message
        assert content(target) == expected("old")


@pytest.mark.parametrize("failing", range(12))
@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_way_back_that_is_blocked_loses_nothing(
    target: Path, monkeypatch: pytest.MonkeyPatch, failing: int, cancelled: bool
) -> None:
    """A disk that fails for good: nothing is removed then, and the next restore finds its way."""
    fill(target, "old")
    async with staged_tree(target, OTHER_RUN) as tree:
        fill(tree.path, "new")
        if cancelled:
            await tree.place()
        with monkeypatch.context() as patch:
            _count_steps(patch, fail_at=failing, for_good=True)
            if cancelled:
                tree._take_back()
            else:
                with contextlib.suppress(RunFailed):
                    await tree.place()
    async with staged_tree(target, RUN):
        pass
    assert content(target) in (expected("old"), expected("new"))
    assert names_around(target) == []


def _count_steps(monkeypatch: pytest.MonkeyPatch, *, fail_at: int, for_good: bool = False) -> list[int]:
    steps = [0]
    rename, exchange = os.rename, filesystem.exchange

    def step(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        steps[0] += 1
        if steps[0] == fail_at + 1 or (for_good and steps[0] > fail_at):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*args, **options)

    monkeypatch.setattr(os, "rename", lambda *args, **options: step(rename, *args, **options))
    monkeypatch.setattr(staging, "exchange", lambda *args, **options: step(exchange, *args, **options))
    return steps


@pytest.mark.parametrize("killed_at", range(12))
async def test_after_a_kill_at_any_step_the_next_restore_finds_its_way(
    target: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int
) -> None:
    """The next one does not even come to its end: what was there before, or what had been placed, is whole again."""
    fill(target, "old")
    with monkeypatch.context() as patch:
        _kill_at(patch, killed_at)
        with pytest.raises(_Killed):
            await restored(target, run_id=OTHER_RUN)
    async with staged_tree(target, RUN) as tree:
        fill(tree.path, "unfinished")
    assert content(target) in (expected("old"), expected("new"))
    assert names_around(target) == []
    await restored(target, "newest")
    assert content(target) == expected("newest")
    assert names_around(target) == []


class _Killed(BaseException):
    """The process is gone: nothing that it would have done afterwards happens."""


def _kill_at(patch: pytest.MonkeyPatch, count: int) -> None:
    """At the `count`th change of a name, or at the end if there are fewer."""
    left = [count]

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if left[0] == 0:
                raise _Killed
            left[0] -= 1
            return function(*args, **options)

        return call

    def leave(tree: StagedTree) -> None:
        os.close(tree.fd)
        raise _Killed

    patch.setattr(os, "rename", dying(os.rename))
    patch.setattr(staging, "exchange", dying(filesystem.exchange))
    patch.setattr(StagedTree, "leave", leave)


async def test_two_restores_to_one_target_do_not_meet(target: Path) -> None:
    fill(target, "old")
    async with staged_tree(target, OTHER_RUN) as tree:
        fill(tree.path, "new")
        with pytest.raises(Conflict) as caught:
            async with staged_tree(target, RUN):
                pass
        assert caught.value.code == "restore.busy"
        await tree.place()
    assert content(target) == expected("new")
    assert names_around(target) == []


async def test_the_same_attempt_twice_does_not_meet_either(target: Path) -> None:
    async with staged_tree(target, RUN) as tree:
        fill(tree.path, "new")
        with pytest.raises(Conflict):
            async with staged_tree(target, RUN):
                pass
        await tree.place()
    assert content(target) == expected("new")


async def test_the_leftovers_of_other_targets_are_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "data"
    others = [f".strongroom-restoring-data-old-{OTHER_RUN}", ".strongroom-restoring-data-x", ".strongroom-restoring-other"]
    for name in others:
        (tmp_path / name).mkdir()
    await restored(target)
    assert names_around(target) == sorted(others)


async def test_a_tree_that_its_owner_may_not_change_is_replaced_all_the_same(target: Path) -> None:
    fill(target, "old")
    (target / "below").chmod(0o500)
    await restored(target)
    assert content(target) == expected("new")
    assert names_around(target) == []


def test_removal_gives_the_owner_the_rights_that_it_took_from_itself(tmp_path: Path) -> None:
    """As a user without privileges, in a process of its own: root may remove everything anyway."""
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.stat().st_uid == os.getuid() and parent.stat().st_mode & 0o055 != 0o055:  # up to the session's directory
            parent.chmod(0o755)
    script = """
import os, sys
from pathlib import Path
from agents.drivers.filesystem import remove_tree
root = Path(sys.argv[1])
if os.getuid() == 0:
    os.setgid(65534), os.setuid(65534)
tree = root / "tree"
(tree / "a" / "b").mkdir(parents=True)
(tree / "a" / "b" / "file").touch()
(tree / "link").symlink_to("/")
(tree / "a" / "b").chmod(0)
(tree / "a").chmod(0o500)
tree.chmod(0o500)
fd = os.open(root, os.O_RDONLY)
failures = []
remove_tree("tree", dir_fd=fd, failed=lambda path, exc: failures.append(path))
sys.exit(tree.exists() or bool(failures))
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=Path(filesystem.__file__).parents[2])


async def test_a_parent_that_takes_nothing_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFailed) as caught:
        async with staged_tree(Path("/proc/strongroom"), RUN):
            pass
    assert caught.value.code == "restore.failed"
    assert "/proc/.strongroom-restoring-strongroom" in caught.value.message
    with pytest.raises(RunFailed) as caught:
        async with staged_tree(tmp_path / "missing" / "data", RUN):
            pass
    assert f"{tmp_path}/missing cannot be opened: No such file" in caught.value.message


def test_mounts_are_known_by_the_kernels_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"22 1 8:1 / / rw - ext4 /dev/sda rw\n23 22 8:1 /x /srv/a\\040b\\134\\303\\274 rw shared:1 - ext4 /dev/sda rw\n"
    )
    assert filesystem.is_mount_point(Path("/proc"))
    assert filesystem.mounts_below(Path("/"))
    monkeypatch.setattr(filesystem, "_MOUNT_TABLE", table)
    assert filesystem.mount_points() == [Path("/"), Path("/srv/a b\\ü")]
    assert filesystem.mounts_below(Path("/srv")) == [Path("/srv/a b\\ü")]
    assert filesystem.mounts_below(Path("/srv/a b\\ü")) == []
    assert filesystem.is_mount_point(Path("/srv/a b\\ü"))
    monkeypatch.setattr(filesystem, "_MOUNT_TABLE", tmp_path / "none")
    assert filesystem.mount_points() == []
