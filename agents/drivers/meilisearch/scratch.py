"""A rehearsal: the dump is restored into a directory, and a throwaway Meilisearch is launched from it and asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from agents.drivers.base import Driver, Scratch
from agents.drivers.meilisearch.planning import describe
from agents.drivers.meilisearch.program import launched
from agents.drivers.scratch import SCRATCH_TARGET, emptied
from contracts.errors import RunFailed

_RESTORED = "restored"


class MeilisearchScratch:
    """See `agents.drivers.base.Scratch`."""

    def __init__(self, driver: Driver, directory: Path, program: str, timeout_s: float) -> None:
        self.driver = driver
        self.target = msgspec.structs.replace(SCRATCH_TARGET, directory=_RESTORED)
        self._directory = directory
        self._program = program
        self._timeout_s = timeout_s

    async def inventory(self) -> Any:
        """Taken as soon as the instance answers, before it does what had not been done when the backup was made."""
        dumps = sorted((self._directory / _RESTORED).glob("*.dump"))
        if len(dumps) != 1:
            raise RunFailed("restore.failed", f"there are {len(dumps)} restored dumps to be looked at: one is expected")
        async with launched(self._program, dumps[0], self._directory / "instance", timeout_s=self._timeout_s) as api:
            stats = await api.stats()
            return describe(await api.version(), stats)


@asynccontextmanager
async def scratch_instance(driver: Driver, directory: Path, program: str, *, timeout_s: float) -> AsyncIterator[Scratch]:
    """`driver` restores below `directory`, which is empty again afterwards."""
    async with emptied(directory):
        yield MeilisearchScratch(driver, directory, program, timeout_s)
