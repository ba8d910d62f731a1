"""A server of its own for a rehearsal: a fresh one that dumps are loaded into, or one started on the restored directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from agents.drivers.base import Driver
from agents.drivers.mariadb.client import Client
from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.mariadb.inventory import list_databases
from agents.drivers.mariadb.planning import take_inventory
from agents.drivers.mariadb.private_server import make_datadir, private_server
from agents.drivers.mariadb.server import look_at_server
from agents.drivers.mariadb.tools import find_program
from agents.drivers.scratch import SCRATCH_TARGET, emptied
from contracts.records import RestoreTarget
from contracts.services import MariaDBOptions

_DATADIR: Final = "data"
_ROOM: Final = "room"


class MariaDBScratch:
    """`Scratch` of either method."""

    def __init__(self, driver: Driver, target: RestoreTarget, connection: MariaDBConnection | None, directory: Path) -> None:
        self.driver = driver
        self.target = target
        self.options = MariaDBOptions()
        self.bin_dir = ""
        self.runtime_dir = directory
        self._connection = connection
        self._directory = directory

    async def inventory(self) -> Any:
        """Raises: RunFailed `restore.failed` when the restored directory does not run."""
        if self._connection is not None:
            return await self._look(self._connection)
        datadir = self._directory / _DATADIR
        settings = datadir / "backup-my.cnf"
        async with private_server(
            datadir,
            self._directory / _ROOM,
            self.bin_dir,
            defaults=settings if settings.exists() else None,
            ask_nobody=True,
        ) as connection:
            return await self._look(connection)

    async def _look(self, connection: MariaDBConnection) -> Any:
        client = Client(connection, self.runtime_dir, restores=True)
        facts = await look_at_server(client)
        found = await take_inventory(client, self.options, facts, await list_databases(client))
        return found.inventory


@asynccontextmanager
async def start_scratch(
    directory: Path,
    connection: MariaDBConnection,
    options: MariaDBOptions,
    *,
    runtime_dir: Path,
    make_driver: Callable[[MariaDBConnection], Driver],
) -> AsyncIterator[MariaDBScratch]:
    """Raises: RunFailed `engine.tool_missing`, `restore.failed`."""
    bin_dir = connection.bin_dir
    find_program("mariadbd", bin_dir)
    async with emptied(directory):
        if options.method == "physical":
            nowhere = MariaDBConnection(
                user="root", socket=str(directory / "none"), bin_dir=bin_dir, restore_dir=str(directory)
            )
            target = msgspec.structs.replace(SCRATCH_TARGET, directory=str(directory / _DATADIR))
            scratch = MariaDBScratch(make_driver(nowhere), target, None, directory)
            scratch.options, scratch.bin_dir, scratch.runtime_dir = options, bin_dir, runtime_dir
            yield scratch
        else:
            datadir = directory / _DATADIR
            await make_datadir(datadir, bin_dir)
            async with private_server(datadir, directory / _ROOM, bin_dir) as private:
                scratch = MariaDBScratch(make_driver(private), SCRATCH_TARGET, private, directory)
                scratch.options, scratch.bin_dir, scratch.runtime_dir = options, bin_dir, runtime_dir
                yield scratch
