"""All databases at a glance: what is in each, as an inventory and in a few figures."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from agents.drivers.postgresql import counts
from agents.drivers.postgresql.discovery import ClusterFacts, DatabaseFacts, Position
from agents.drivers.postgresql.inventory import look_at_objects
from agents.drivers.postgresql.objects import DatabaseObjects
from agents.drivers.postgresql.psql import Psql
from contracts.errors import RunFailed
from contracts.records import Attributes
from contracts.wire import utc_now

COUNT_BUDGET_S: Final = 20.0
"""For looking at tables in all databases: when it is used up, rows are not counted any more."""
PATIENT_COUNT_BUDGET_S: Final = 1800.0
"""For a server that nobody else uses."""


async def survey(
    psql: Psql, databases: Sequence[DatabaseFacts], *, in_recovery: bool, patient: bool = False, needed: bool = True
) -> tuple[dict[str, DatabaseObjects], list[str]]:
    """The objects by database, and in sentences what had to be left out.

    With `patient` the rows of every table are counted.  Raises: RunFailed `engine.*`; unless the objects are `needed`, only
    when nothing answers.
    """
    objects: dict[str, DatabaseObjects] = {}
    warnings: list[str] = []
    left_s = PATIENT_COUNT_BUDGET_S if patient else COUNT_BUDGET_S
    for database in databases:
        began = time.monotonic()
        count_s = left_s if patient else min(left_s, counts.COUNT_BUDGET_S)
        try:
            objects[database.name], left_out = await look_at_objects(
                psql, database, in_recovery=in_recovery, count_s=count_s, every_table=patient
            )
            warnings += left_out
        except RunFailed as exc:
            if exc.code == "engine.unreachable" or (needed and exc.code.startswith("engine.")):
                raise
            warnings.append(f"{database.name!r}: its inventory could not be made: {exc.message}")
        left_s -= time.monotonic() - began
    return objects, warnings


def describe(
    cluster: ClusterFacts,
    position: Position,
    databases: Sequence[DatabaseFacts],
    objects: Mapping[str, DatabaseObjects],
    rows: Mapping[str, int],
) -> Any:
    """Plain data for the sealed inventory."""
    return msgspec.to_builtins(
        {
            "taken_at": utc_now(),
            "server_version": cluster.version,
            "system_identifier": position.system_identifier,
            "timeline": position.timeline,
            "lsn": position.lsn,
            "role": cluster.role,
            "tablespaces": cluster.tablespaces,
            "role_count": cluster.role_count,
            "counts": rows,
            "databases": [
                {
                    "name": database.name,
                    "owner": database.owner,
                    "encoding": database.encoding,
                    "lc_collate": database.lc_collate,
                    "size_bytes": database.size_bytes,
                    "objects": objects.get(database.name),
                }
                for database in databases
            ],
        }
    )


def summarize(
    cluster: ClusterFacts, databases: Sequence[DatabaseFacts], objects: Mapping[str, DatabaseObjects]
) -> Attributes:
    """A few figures for the catalogue's record, which is open."""
    return {
        "databases": len(databases),
        "tables": sum(found.table_count for found in objects.values()),
        "large_objects": sum(found.large_objects for found in objects.values()),
        "size_bytes": sum(database.size_bytes or 0 for database in databases),
        "server_version": cluster.version,
        "role": cluster.role,
    }
