"""Agents that are not root: the rights that `deploy/` describes are enough, and what fewer rights mean is said."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from contracts.errors import RunFailed
from tests.agents.drivers.playing import back_up, restore
from tests.agents.drivers.shared_storage import trees
from tests.agents.drivers.shared_storage.engine import NOBODY, Tree, as_nobody
from tests.servers.tools import tool

_PROJECT: Final = Path(__file__).parents[4]
_DEPLOY: Final = _PROJECT / "deploy" / "shared-storage"
_SCRIPT: Final = """
import asyncio, os, pickle, sys
from pathlib import Path
from agents.drivers.shared_storage.connection import SharedStorageConnection
from agents.drivers.shared_storage.driver import SharedStorageDriver
from contracts.records import RestoreTarget
from tests.agents.drivers.playing import back_up, restore

async def main():
    assert os.getuid() == 65534, os.getuid()
    step, root, kept = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    driver = SharedStorageDriver(
        SharedStorageConnection(root_dir=str(root), restore_dir=str(root.parent)), runtime_dir=root, work_dir=root
    )
    if step == "backup":
        sys.stdout.buffer.write(pickle.dumps(await back_up(driver)))
    else:
        backup = pickle.loads(kept.read_bytes())
        target = RestoreTarget(project="acme", service="files", node="node-1", replace=True)
        (outcome,) = await restore(driver, backup, target)
        assert outcome["warnings"] == [], outcome

asyncio.run(main())
"""


def as_agent(recipe: str, *arguments: str | Path) -> bytes:
    """The script in a process of another user that has the recipe's capabilities, and nothing else of root's."""
    match = re.search(r"^AmbientCapabilities=(.*)$", (_DEPLOY / recipe).read_text(), re.MULTILINE)
    assert match is not None
    capabilities = "-all," + ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in match[1].split())
    command: list[str | Path] = [
        tool("setpriv"),
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        f"--inh-caps={capabilities}",
        f"--ambient-caps={capabilities}",
        f"--bounding-set={capabilities}",
        "--no-new-privs",
        sys.executable,
        "-c",
        _SCRIPT,
        *arguments,
    ]
    ended = subprocess.run(command, cwd=_PROJECT, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


@pytest.fixture
def open_tree(empty_tree: Tree) -> Tree:
    """The same as `tree` as far as others than root can see it."""
    trees.fill(empty_tree.root)
    os.removexattr(empty_tree.root / "rights" / "private", "trusted.note")
    empty_tree.directory.chmod(0o755)
    return empty_tree


def test_the_recipes_are_enough_for_a_backup_and_a_restore(open_tree: Tree, tmp_path: Path) -> None:
    before = trees.content(open_tree.root)
    kept = tmp_path / "backup"
    kept.write_bytes(as_agent("backup.conf", "backup", open_tree.root, kept))
    (open_tree.root / "large").unlink()
    as_agent("restore.conf", "restore", open_tree.root, kept)
    assert trees.content(open_tree.root) == before
    assert trees.leftovers(open_tree.directory) == []


async def test_without_the_right_to_read_the_backup_fails_with_the_remedy(open_tree: Tree) -> None:
    with as_nobody(open_tree.root / "rights" / "nothing"), pytest.raises(RunFailed) as caught:
        await back_up(open_tree.driver())
    assert caught.value.code == "engine.permission"
    assert "deploy/shared-storage" in caught.value.message


async def test_without_the_right_to_give_files_away_owners_are_lost_with_a_warning(open_tree: Tree) -> None:
    backup = await back_up(open_tree.driver())
    before = await open_tree.content()
    open_tree.elsewhere.chmod(0o777)
    with as_nobody(open_tree.root):
        (outcome,) = await restore(open_tree.driver(), backup, open_tree.target(directory="copy"))
    warnings = outcome["warnings"]
    assert isinstance(warnings, list)
    assert any("owners and groups were not restored" in warning for warning in warnings)
    after = trees.content(open_tree.elsewhere / "copy")
    assert after is not None
    assert after.keys() == before.keys()
    assert after[b"large"]["sha256"] == before[b"large"]["sha256"]
    assert after[b"rights/private"]["xattrs"] == before[b"rights/private"]["xattrs"]
    assert before[b"rights/setuid"]["mode"] & stat.S_ISUID
    assert not after[b"rights/setuid"]["mode"] & stat.S_ISUID
    assert {entry["owner"][0] for entry in after.values() if isinstance(entry, dict)} == {
        NOBODY if os.geteuid() == 0 else os.getuid()
    }
    with as_nobody(open_tree.root):  # and it can be replaced again by the same user
        await restore(open_tree.driver(), backup, open_tree.target(directory="copy", replace=True))
    assert await open_tree.leftovers() == []


async def test_a_directory_whose_parent_is_not_the_agents_is_filled_from_inside(open_tree: Tree) -> None:
    backup = await back_up(open_tree.driver())
    copy = open_tree.elsewhere / "copy"
    copy.mkdir()
    os.chown(copy, NOBODY, NOBODY)
    (copy / "old").touch()
    with as_nobody(copy):
        await restore(open_tree.driver(), backup, open_tree.target(directory="copy", replace=True))
    assert not (copy / "old").exists()
    assert (copy / "large").stat().st_size == trees.LARGE_BYTES
    assert await open_tree.leftovers() == []


async def test_a_directory_that_takes_nothing_fails_the_restore_with_its_name(open_tree: Tree) -> None:
    backup = await back_up(open_tree.driver())
    with as_nobody(open_tree.elsewhere), pytest.raises(RunFailed) as caught:
        await restore(open_tree.driver(), backup, open_tree.target(directory="copy"))
    assert caught.value.code == "restore.failed"
    assert str(open_tree.elsewhere) in caught.value.message
    assert "Permission denied" in caught.value.message
