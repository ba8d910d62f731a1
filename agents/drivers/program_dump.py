"""A dump that is a program's standard output: what every driver with such a tool needs of it."""

from __future__ import annotations

import asyncio
from typing import Final

from agents.processes import Child, ExitStatus
from contracts.errors import RunFailed

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
