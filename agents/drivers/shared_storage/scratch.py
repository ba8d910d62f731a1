"""A rehearsal: the tree is extracted into a directory of its own, looked through, and removed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog

from agents.drivers.base import Driver
from agents.drivers.filesystem import remove_tree
from agents.drivers.shared_storage.exclusion import Exclusion
from agents.drivers.shared_storage.planning import take_survey
from agents.processes import uncancelled
from contracts.records import RestoreTarget

log = structlog.get_logger()

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
    try:
        yield ScratchTree(root, driver_of(root), RestoreTarget(project="scratch", service="scratch", node="scratch"))
    finally:
        await uncancelled(asyncio.to_thread(_remove, directory), name="scratch:remove")


def _remove(directory: Path) -> None:
    def failed(what: str, exc: OSError) -> None:
        log.error("scratch.left_behind", path=str(directory / _NAME), what=what, error=exc.strerror)

    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if (directory / _NAME).exists():
            remove_tree(_NAME, dir_fd=fd, failed=failed)
    finally:
        os.close(fd)
