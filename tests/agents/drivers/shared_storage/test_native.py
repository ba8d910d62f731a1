"""Without Strongroom: the artifact is what GNU tar makes, and GNU tar alone takes it back."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.agents.drivers.playing import back_up
from tests.agents.drivers.shared_storage import trees
from tests.agents.drivers.shared_storage.engine import Tree
from tests.servers.tools import tool


def run(*command: str | Path, given: bytes) -> bytes:
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout


async def test_stock_tar_restores_the_tree(tree: Tree, tmp_path: Path) -> None:
    data = (await back_up(tree.driver())).artifacts[0][1]
    extract = ["--extract", "--file=-", "--numeric-owner", "--same-owner", "--preserve-permissions", "--acls", "--xattrs"]
    run(tool("tar"), *extract, "--xattrs-include=*", "--delay-directory-restore", f"--directory={tmp_path}", given=data)
    assert trees.content(tmp_path) == await tree.content()


async def test_stock_tar_lists_it_and_takes_single_files_out(tree: Tree, tmp_path: Path) -> None:
    data = (await back_up(tree.driver())).artifacts[0][1]
    listed = run(tool("tar"), "--list", "--quoting-style=escape", given=data).decode().splitlines()
    assert len(listed) == len(list(tree.root.rglob("*"))) + 1
    run(tool("tar"), "--extract", f"--directory={tmp_path}", "./links/first", given=data)
    assert (tmp_path / "links" / "first").read_text() == "one content"


async def test_an_unchanged_tree_compares_equal(tree: Tree) -> None:
    data = (await back_up(tree.driver())).artifacts[0][1]
    run(tool("tar"), "--compare", "--file=-", f"--directory={tree.root}", given=data)


async def test_two_backups_of_an_unchanged_tree_have_the_same_bytes_but_for_times_of_reading(tree: Tree) -> None:
    first, second = [(await back_up(tree.driver())).artifacts[0][1] for _ in range(2)]
    assert len(first) == len(second)
