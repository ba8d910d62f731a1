"""Dumps and restores by a program: the data path on one side of its pipe, and what every driver with such a tool needs.

program ─▶ stdout ─▶ data path              data path ─▶ stdin ─▶ program, beside the target ─▶ in place
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Final

from agents.drivers.base import Confirm
from agents.processes import Child, ExitStatus
from contracts.errors import RunFailed
from contracts.records import Attributes

_EXIT_TIMEOUT_S: Final = 120.0
"""From the end of its output to the end of a program: it only has to say goodbye to the server."""


class ProgramDump:
    """The half of a `DumpSource` that does not depend on the program."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @property
    def fd(self) -> int:
        return self._child.stdout_fd

    @property
    def pid(self) -> int:
        return self._child.pid

    async def exit_status(self) -> ExitStatus:
        """How the program ended.  Raises: RunFailed `dump.failed` when it does not, though it wrote all it had to."""
        try:
            async with asyncio.timeout(_EXIT_TIMEOUT_S):
                return await self._child.wait()
        except TimeoutError:
            what = f"{self._child.command.name} closed its output but did not end within {_EXIT_TIMEOUT_S:g} s"
            raise RunFailed("dump.failed", what, detail=self._child.stderr or None) from None

    def require_whole(self, what: str, why_not: str) -> None:
        """`why_not` is empty when what the program wrote has the marks of a whole `what`.

        Raises: RunFailed `dump.incomplete`, for a program that ended well nevertheless.
        """
        if why_not:
            what = f"{self._child.command.name} ended well, but its {what} is not whole: {why_not}"
            raise RunFailed("dump.incomplete", what, detail=self._child.stderr or None)


class ProgramRestore(ABC):
    """`RestoreSink` of a program that takes in what it reads beside the target; what comes then is the subclass's."""

    def __init__(self, child: Child, confirm: Confirm) -> None:
        self._child = child
        self._confirm = confirm
        self._outcome: Attributes | None = None

    @property
    def fd(self) -> int:
        return self._child.stdin_fd

    def close_input(self) -> None:
        self._child.close_stdin()

    async def finish(self) -> Attributes:
        """Raises: what `accept`, `place` and the confirmation raise."""
        if self._outcome is None:
            self.close_input()
            await self.accept(await self._child.wait())
            await self._confirm()
            self._outcome = await self.place()
        return self._outcome

    @abstractmethod
    async def accept(self, status: ExitStatus) -> None:
        """Judges what the program has taken in, and makes it ready for its place.  Raises: RunFailed, Corrupt."""

    @abstractmethod
    async def place(self) -> Attributes:
        """Puts it in place; hours may have passed since the target was looked at.  Returns what `finish` has to say."""
