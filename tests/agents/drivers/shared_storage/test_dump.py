"""What happens to a tree while tar reads it, and what is said of it afterwards."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agents.drivers.shared_storage.connection import SharedStorageConnection
from agents.drivers.shared_storage.driver import SharedStorageDriver
from contracts.errors import RunFailed
from contracts.services import SharedStorageOptions
from tests.agents.drivers.playing import Backup, back_up, finish_dump, read_all, restore
from tests.agents.drivers.shared_storage import trees
from tests.agents.drivers.shared_storage.engine import Tree, as_nobody


@asynccontextmanager
async def while_tar_reads_the_large_file(tree: Tree, driver: SharedStorageDriver) -> AsyncIterator[Callable[[], object]]:
    """`await (…)()` reads the rest and finishes the dump.  Tar has read what comes before, and the names of the root."""
    plan = await driver.plan_backup()
    async with driver.dump(plan.artifacts[0]) as source:
        data = bytearray()
        while len(data) < 1024 * 1024:  # the large file begins in it
            data += await asyncio.to_thread(os.read, source.fd, 65536)

        async def rest() -> list[str]:
            data.extend(await asyncio.to_thread(read_all, source.fd))
            return await finish_dump(source, bytes(data))

        yield rest


async def dumped(tree: Tree, meanwhile: Callable[[], object], options: SharedStorageOptions | None = None) -> list[str]:
    async with while_tar_reads_the_large_file(tree, tree.with_options(options)) as rest:
        meanwhile()
        warnings = rest()
        assert asyncio.iscoroutine(warnings)
        said: list[str] = await warnings
        return said


@pytest.fixture
def small(empty_tree: Tree) -> Tree:
    (empty_tree.root / "a").write_text("before")
    (empty_tree.root / "large").write_bytes(os.urandom(trees.LARGE_BYTES))
    (empty_tree.root / "z").write_text("after")
    (empty_tree.root / "zz").mkdir()
    (empty_tree.root / "zz" / "file").touch()
    return empty_tree


def append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


async def test_a_quiet_tree_has_no_warnings(small: Tree) -> None:
    assert await dumped(small, lambda: None) == []


async def test_a_file_that_changed_is_a_warning_with_its_name(small: Tree) -> None:
    (warning,) = await dumped(small, lambda: append(small.root / "large"))
    assert re.search(r"changed while they were read.*: large$", warning)


async def test_a_file_that_got_shorter_is_named_as_damaged(small: Tree) -> None:
    said = await dumped(small, lambda: os.truncate(small.root / "large", 100))
    assert any(re.search(r"are damaged in this backup.*: large$", warning) for warning in said)


async def test_files_and_directories_that_were_removed_are_named(small: Tree) -> None:
    def remove() -> None:
        (small.root / "z").unlink()
        (small.root / "zz" / "file").unlink()
        (small.root / "zz").rmdir()

    said = await dumped(small, remove)
    assert any(re.search(r"are not in this backup: z, zz$", warning) for warning in said)


async def test_more_changes_than_are_allowed_fail_the_run(small: Tree) -> None:
    with pytest.raises(RunFailed) as caught:
        await dumped(small, lambda: append(small.root / "large"), SharedStorageOptions(changed_limit=0))
    assert caught.value.code == "dump.failed"
    assert "changed_limit" in caught.value.message
    assert "large" in caught.value.message


async def test_a_socket_is_named(small: Tree) -> None:
    trees.add_socket(small.root / "app socket")
    backup = await back_up(small.driver())
    (warning,) = backup.warnings
    assert warning == "files that are sockets, which no archive can hold: app socket"
    assert backup.plan.inventory["sockets_left_out"] == 1


async def test_many_names_are_cut_short(empty_tree: Tree) -> None:
    for number in range(70):
        trees.add_socket(empty_tree.root / f"s{number:02}")
    (warning,) = (await back_up(empty_tree.driver())).warnings[-1:]
    assert "s49 and 20 more" in warning


async def test_a_real_read_error_fails_the_run_with_the_file() -> None:
    """The kernel gives some settings of a network device to nobody, root included."""
    connection = SharedStorageConnection(root_dir="/sys/devices/virtual/net/lo")
    driver = SharedStorageDriver(connection, runtime_dir=Path("/"), work_dir=Path("/"))
    with pytest.raises(RunFailed) as caught:
        await back_up(driver)
    assert caught.value.code == "dump.failed"
    assert "duplex" in caught.value.message
    assert "Read error at byte 0" in caught.value.message
    assert caught.value.detail


async def test_files_without_blocks_are_not_taken_for_holes() -> None:
    """There are file systems that say so of all their files, and tar would archive nothing but zeros."""
    connection = SharedStorageConnection(root_dir="/sys/devices/virtual/net/lo")
    driver = SharedStorageDriver(connection, runtime_dir=Path("/"), work_dir=Path("/"))
    plan = await driver.plan_backup()
    assert any("cannot be told from data" in warning for warning in plan.warnings)
    (planned,) = plan.artifacts
    async with driver.dump(planned) as source:
        data = await asyncio.to_thread(read_all, source.fd)
    address = Path("/sys/devices/virtual/net/lo/address").read_bytes()
    assert address in data


async def test_an_unreadable_file_fails_the_run_with_its_name(small: Tree) -> None:
    for directory in (small.directory, small.root):
        directory.chmod(0o755)
    (small.root / "secret").write_text("x")
    (small.root / "secret").chmod(0)
    with as_nobody(small.root / "secret"), pytest.raises(RunFailed) as caught:
        await back_up(small.driver())
    assert caught.value.code == "engine.permission"
    assert "secret below" in caught.value.message
    assert "CAP_DAC_READ_SEARCH" in caught.value.message


async def test_a_tar_that_is_killed_is_told_with_its_signal(small: Tree) -> None:
    driver = small.with_options()
    plan = await driver.plan_backup()
    async with driver.dump(plan.artifacts[0]) as source:
        os.kill(source.pid, signal.SIGKILL)  # type: ignore[attr-defined]
        data = await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, data)
    assert caught.value.message == f"tar was killed by SIGKILL while it read {small.root}"


async def test_a_tree_that_is_gone_at_the_end_fails_the_run(small: Tree) -> None:
    with pytest.raises(RunFailed) as caught:
        await dumped(small, lambda: small.root.rename(small.directory / "away"))
    assert caught.value.code == "engine.unreachable"


async def test_a_tree_that_was_exchanged_meanwhile_is_a_warning(small: Tree) -> None:
    def exchange() -> None:
        small.root.rename(small.directory / "away")
        small.root.mkdir()

    said = await dumped(small, exchange)
    assert any("became another directory meanwhile" in warning for warning in said)


async def test_an_archive_without_an_end_is_incomplete(small: Tree) -> None:
    driver = small.driver()
    plan = await driver.plan_backup()
    async with driver.dump(plan.artifacts[0]) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, data[: len(data) - 10240])
    assert caught.value.code == "dump.incomplete"


async def test_a_reader_that_stops_for_a_while_does_no_harm(small: Tree) -> None:
    async with while_tar_reads_the_large_file(small, small.with_options()) as rest:
        await asyncio.sleep(0.5)  # tar waits, as it would for a slow store
        finishing = rest()
        assert asyncio.iscoroutine(finishing)
        assert await finishing == []


async def test_a_root_that_is_a_symbolic_link_is_followed(small: Tree) -> None:
    before = await small.content()
    link = small.directory / "current"
    link.symlink_to("data")
    connection = SharedStorageConnection(root_dir=str(link))
    driver = SharedStorageDriver(connection, runtime_dir=small.directory, work_dir=small.directory)
    backup = await back_up(driver)
    await restore(driver, backup, small.target(replace=True))
    assert link.is_symlink()
    assert await small.content() == before


async def test_a_root_with_a_strange_name_is_backed_up(small: Tree) -> None:
    root = small.directory / "-C 'x' \n*"
    small.root.rename(root)
    connection = SharedStorageConnection(root_dir=str(root))
    backup: Backup = await back_up(SharedStorageDriver(connection, runtime_dir=root, work_dir=root))
    assert backup.plan.summary["files"] == 4
    small.root = root


async def test_excluded_paths_are_not_in_the_archive_nor_in_the_figures(small: Tree) -> None:
    driver = small.with_options(SharedStorageOptions(exclude=["large", "zz/*"]))
    backup = await back_up(driver)
    assert backup.plan.inventory["counts"] == {".": 2, "zz": 0}
    assert backup.plan.inventory["excluded"] == 2
    assert backup.plan.inventory["exclude"] == ["large", "zz/*"]
    assert len(backup.artifacts[0][1]) < 100_000


async def test_what_is_in_an_inventory_can_be_sent_whatever_the_names(tree: Tree) -> None:
    os.mkdir(os.fsencode(tree.root) + b"/\xff\n", 0o755)  # noqa: PTH102
    backup = await back_up(tree.driver())
    assert backup.plan.inventory["counts"]["\\377\\n"] == 0


async def test_the_counts_are_those_of_the_archive_even_if_files_come_and_go_meanwhile(small: Tree) -> None:
    driver = small.with_options()
    plan = await driver.plan_backup()
    assert plan.inventory["counts"] == {".": 3, "zz": 1}
    (small.root / "later").mkdir()
    for name in ("later/1", "later/2", "later/\udcff\n", "at the top"):
        (small.root / name).touch()
    (small.root / "later" / "link").symlink_to("1")
    (small.root / "zz" / "file").unlink()
    async with driver.dump(plan.artifacts[0]) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        await finish_dump(source, data)
    await driver.finish_backup(plan)
    assert plan.inventory["counts"] == {".": 4, "later": 4, "zz": 0}
    assert plan.inventory["archived_entries"] == 1 + 4 + 5 + 1


async def test_a_listing_of_many_directories_and_odd_names_counts_as_a_look_does(tree: Tree) -> None:
    for number in range(600):
        (tree.root / f"top {number}").mkdir()
        (tree.root / f"top {number}" / "file").touch()
    backup = await back_up(tree.driver())
    again = await tree.driver().plan_backup()
    assert len(again.inventory["counts"]) == 502
    assert backup.plan.inventory["counts"] == again.inventory["counts"]
