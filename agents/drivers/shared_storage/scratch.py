"""A rehearsal: the tree is extracted into a directory of its own, looked through, and removed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agents.drivers.base import Driver
from agents.drivers.scratch import SCRATCH_TARGET, emptied
from agents.drivers.shared_storage.exclusion import Exclusion
from agents.drivers.shared_storage.planning import take_survey
from contracts.records import RestoreTarget

_NAME: Final = "tree"


@dataclass
class ScratchTree:
    """`Scratch` of a tree."""

    root: Path
    driver: Driver
    target: RestoreTarget

    async def inventory(self) -> Any:
        found = await take_survey(str(self.root), Exclusion([]), one_file_system=True)
        return found.as_inventory()


@asynccontextmanager
async def scratch_tree(directory: Path, driver_of: Callable[[Path], Driver]) -> AsyncIterator[ScratchTree]:
    """Room for one tree below `directory`."""
    root = directory / _NAME
    async with emptied(directory):
        yield ScratchTree(root, driver_of(root), SCRATCH_TARGET)
