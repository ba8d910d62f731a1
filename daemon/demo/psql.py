"""SQL through the `psql` program: a script in, rows out as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import msgspec

from contracts.errors import RunFailed
from daemon.demo.processes import run_program
from daemon.demo.scratch_postgres import Cluster

T = TypeVar("T")


class SqlFailed(RunFailed):
    """A script stopped at an error; what it had not committed is undone."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__("internal", message, detail=detail)


@dataclass(frozen=True, kw_only=True)
class Psql:
    """One database of a cluster, as its superuser sees it."""

    program: str
    cluster: Cluster
    database: str

    def of(self, database: str) -> Psql:
        """Another database of the same cluster."""
        return Psql(program=self.program, cluster=self.cluster, database=database)

    async def run(self, script: str) -> list[bytes]:
        """The lines it printed.  Stops at the first error.  Raises: SqlFailed with psql's words."""
        options = ["-X", "-q", "-A", "-t", "-w", "-v", "ON_ERROR_STOP=1", "-f", "-"]
        environment = self.cluster.environment(self.database)
        ended, out = await run_program([self.program, *options], environment=environment, given=script.encode())
        if ended.status != 0:
            raise SqlFailed(f"SQL in the database {self.database!r} failed: {ended.words}", ended.stderr_tail)
        return out.splitlines()

    async def rows(self, script: str, type_: type[T]) -> list[T]:
        """What a script printed whose queries have one column each, a JSON object that fits `type_`.

        JSON has no bare line breaks, so a line is a row whatever the values hold.
        """
        decoder = msgspec.json.Decoder(type_)
        return [decoder.decode(line) for line in await self.run(script)]
