"""Restoring the whole tree: beside its place, then in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agents.drivers.base import Confirm
from agents.drivers.directories import StagedTree, staged_tree
from agents.drivers.shared_storage.complaints import Complaints
from agents.drivers.shared_storage.extraction import Extraction, may_give_away
from agents.drivers.shared_storage.tar import Tar
from agents.processes import start
from contracts.records import Attributes


class WholeRestore:
    """`RestoreSink` of a tree."""

    def __init__(self, extraction: Extraction, tree: StagedTree, target: Path, *, replace: bool, confirm: Confirm) -> None:
        self._extraction = extraction
        self._tree = tree
        self._target = target
        self._replace = replace
        self._confirm = confirm
        self._outcome: Attributes | None = None

    @property
    def fd(self) -> int:
        return self._extraction.child.stdin_fd

    def close_input(self) -> None:
        self._extraction.child.close_stdin()

    async def finish(self) -> Attributes:
        """Raises: RunFailed `restore.failed`, Conflict `restore.target_not_empty`, and what `confirm` raises."""
        if self._outcome is None:
            self.close_input()
            warnings = await self._extraction.finish()
            await self._confirm()
            await self._tree.place(replace=self._replace)
            self._outcome = {"in_place": str(self._target), "warnings": warnings}
        return self._outcome


@asynccontextmanager
async def restore_whole(
    tar: Tar, target: Path, run_id: str, *, replace: bool, confirm: Confirm
) -> AsyncIterator[WholeRestore]:
    """The restore under way; leaving it before `finish` returned leaves the target as it was."""
    owners = may_give_away()
    async with staged_tree(target, run_id) as tree:
        complaints = Complaints(tar.program)
        async with start(tar.extract(tree.fd, owners=owners, hear=complaints.hear), stdin=True) as child:
            extraction = Extraction(child, complaints, tree.fd, owners=owners)
            yield WholeRestore(extraction, tree, target, replace=replace, confirm=confirm)
