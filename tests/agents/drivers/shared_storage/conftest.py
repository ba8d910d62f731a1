"""Fixtures: a tree that has everything, and an empty one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.agents.drivers.shared_storage import trees
from tests.agents.drivers.shared_storage.engine import Tree
from tests.servers.directories import server_directory


@pytest.fixture
def empty_tree() -> Iterator[Tree]:
    with server_directory("files") as directory:
        yield Tree(directory)


@pytest.fixture
def tree(empty_tree: Tree) -> Tree:
    trees.fill(empty_tree.root)
    return empty_tree
