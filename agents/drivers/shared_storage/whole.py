"""Restoring the whole tree: beside its place, then in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agents.drivers.base import Confirm
from agents.drivers.directories import StagedTree, staged_tree
from agents.drivers.shared_storage.complaints import Complaints
from agents.drivers.shared_storage.extraction import TarRestore, may_give_away
from agents.drivers.shared_storage.tar import Tar
from agents.processes import Child, start
from contracts.records import Attributes


class WholeRestore(TarRestore):
    """`RestoreSink` of a tree."""

    def __init__(
        self,
        child: Child,
        complaints: Complaints,
        tree: StagedTree,
        target: Path,
        *,
        owners: bool,
        replace: bool,
        confirm: Confirm,
    ) -> None:
        super().__init__(child, complaints, tree, owners=owners, confirm=confirm)
        self._target = target
        self._replace = replace

    async def place(self) -> Attributes:
        """Raises: Conflict `restore.target_not_empty`."""
        await self._tree.place(replace=self._replace)
        return {"in_place": str(self._target), "warnings": self._warnings}


@asynccontextmanager
async def restore_whole(
    tar: Tar, target: Path, run_id: str, *, replace: bool, confirm: Confirm
) -> AsyncIterator[WholeRestore]:
    """The restore under way; leaving it before `finish` returned leaves the target as it was."""
    owners = may_give_away()
    async with staged_tree(target, run_id) as tree:
        complaints = Complaints(tar.program)
        async with start(tar.extract(tree.fd, owners=owners, hear=complaints.hear), stdin=True) as child:
            yield WholeRestore(child, complaints, tree, target, owners=owners, replace=replace, confirm=confirm)
