"""Restores rehearsed on this host: a private server to restore into, or one that is started on a restored directory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from agents.drivers.base import Driver
from agents.drivers.postgresql.attributes import DATABASE_KIND, GLOBALS_KIND, parse_attributes
from agents.drivers.postgresql.connection import PostgreSQLConnection
from agents.drivers.postgresql.counts import exact_counts
from agents.drivers.postgresql.discovery import find_position, look_at_cluster
from agents.drivers.postgresql.private_server import make_cluster, private_server
from agents.drivers.postgresql.psql import Psql
from agents.drivers.postgresql.quoting import quote_identifier
from agents.drivers.postgresql.server_user import server_user
from agents.drivers.postgresql.survey import describe, survey
from agents.drivers.postgresql.tools import find_tool, major_of, newest_tool
from agents.drivers.scratch import SCRATCH_TARGET, emptied
from contracts.errors import RunFailed, StrongroomError
from contracts.records import ArtifactRecord, RestoreTarget

_RESTORED: Final = "restored"
_ROLES: Final = "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles"

MakeDriver = Callable[[PostgreSQLConnection], Driver]


class Rehearsal:
    """`Scratch`."""

    def __init__(self, driver: Driver, target: RestoreTarget, take_inventory: Callable[[], Awaitable[Any]]) -> None:
        self.driver = driver
        self.target = target
        self._take_inventory = take_inventory

    async def inventory(self) -> Any:
        """With the rows of every table counted.  Raises: RunFailed `restore.failed`, `engine.*`."""
        return await self._take_inventory()


@asynccontextmanager
async def rehearse_logical(
    connection: PostgreSQLConnection, directory: Path, make_driver: MakeDriver, *, runtime_dir: Path
) -> AsyncIterator[Rehearsal]:
    """An empty cluster of the service's version that runs on this host.  Raises: RunFailed `engine.tool_missing`, …"""
    major = await _server_major(connection, runtime_dir)
    initdb = await find_tool("initdb", connection.bin_dir, at_least=major)
    postgres = await find_tool("postgres", connection.bin_dir, at_least=initdb.major)
    user = server_user()
    async with emptied(directory):
        await make_cluster(directory / "data", initdb, user)
        async with private_server(directory / "data", directory / "server", postgres, user) as private:
            psql = Psql(private, runtime_dir)
            yield Rehearsal(make_driver(private), SCRATCH_TARGET, lambda: _look(psql, unlogged=True))


@asynccontextmanager
async def rehearse_physical(
    connection: PostgreSQLConnection, directory: Path, make_driver: MakeDriver, *, runtime_dir: Path
) -> AsyncIterator[Rehearsal]:
    """Room for a data directory, on which a server is started once it is asked what is in it."""
    user = server_user()

    async def inventory() -> Any:
        data_dir = directory / _RESTORED
        try:
            major = major_of((data_dir / "PG_VERSION").read_text())
        except OSError as exc:
            raise RunFailed("restore.failed", f"nothing was restored to {data_dir}: {exc.strerror}") from exc
        postgres = await find_tool("postgres", connection.bin_dir, at_least=major)
        if postgres.major != major:
            raise RunFailed(
                "engine.tool_missing",
                f"only PostgreSQL {major} can run the restored data directory: apt-get install postgresql-{major}",
            )
        # As the role that made the backup, with its rights: it is in there, whoever the superuser is.
        async with private_server(data_dir, directory / "server", postgres, user, login=connection.user) as private:
            try:
                return await _look(Psql(private, runtime_dir), unlogged=False)
            except StrongroomError as exc:
                what = f"the restored server started, but could not be looked into: {exc.message}"
                raise RunFailed("restore.failed", what, detail=exc.detail) from exc

    restoring = msgspec.structs.replace(connection, restore_dir=str(directory))
    async with emptied(directory):
        target = msgspec.structs.replace(SCRATCH_TARGET, directory=str(directory / _RESTORED))
        yield Rehearsal(make_driver(restoring), target, inventory)


async def create_absent_roles(psql: Psql, artifacts: list[ArtifactRecord]) -> None:
    """The roles that the dumps name, where no artifact brings them: in a scratch server they may as well be made up."""
    if any(artifact.kind == GLOBALS_KIND for artifact in artifacts):
        return
    wanted: set[str] = set()
    for artifact in artifacts:
        if artifact.kind == DATABASE_KIND:
            found = parse_attributes(artifact)
            wanted |= {*found.roles, *found.owners, *found.bound_roles, *([found.owner] if found.owner else [])}
    absent = wanted - set(await psql.query(_ROLES, list[str], "listing the scratch server's roles"))
    statements = [f"CREATE ROLE {quote_identifier(name)}" for name in sorted(absent)]
    await psql.execute(statements, "creating roles in the scratch server")


async def _server_major(connection: PostgreSQLConnection, runtime_dir: Path) -> int:
    """Of the service's server; while that cannot be asked, the newest that there is here, which takes all dumps."""
    try:
        return (await look_at_cluster(Psql(connection, runtime_dir))).major
    except StrongroomError:
        return (await newest_tool("initdb", connection.bin_dir)).major


async def _look(psql: Psql, *, unlogged: bool) -> Any:
    """The inventory of a server that nobody else uses, in the form of a plan's."""
    cluster = await look_at_cluster(psql, sizes=True)
    databases = [one for one in cluster.databases if one.allows_connections and not one.is_template]
    reachable = [one for one in databases if one.connectable]
    objects, _ = await survey(psql, reachable, in_recovery=cluster.in_recovery, patient=True)
    position = await find_position(psql)
    return describe(cluster, position, databases, objects, exact_counts(objects, unlogged=unlogged))
