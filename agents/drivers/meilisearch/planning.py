"""What a backup is going to hold: everything of the instance in one dump, with the documents of each index counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from agents.drivers.base import BackupPlan, PlannedArtifact
from agents.drivers.meilisearch.api import OPTIONAL_ACTIONS, MeilisearchApi, Stats
from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.meilisearch.dump_dir import require_usable

ARTIFACT_NAME: Final = "dump"
KIND: Final = "dump"
FORMAT: Final = "meilisearch-dump"
SUFFIX: Final = "meili.dump.zst.age"
_LEAST_ESTIMATE: Final = 64 * 1024
_OF_RAW: Final = 2
"""Documents as they are stored, by the size of a dump of them: gzip makes text to a fraction, and numbers less so."""
_OF_DATABASE: Final = 6
"""The same for the whole database with its search structures, for versions that do not tell the former."""


async def plan_backup(api: MeilisearchApi, connection: MeilisearchConnection) -> BackupPlan:
    """Raises: RunFailed `engine.*`, InvalidInput `config.invalid`."""
    await api.require_serving()
    version = await api.version()
    stats = await api.stats()
    await api.tasks(limit="1")  # what the dump will be waited for with
    require_usable(Path(connection.dump_dir))
    warnings = []
    if not await api.may_cancel():
        what = f"the API key lacks the action {', '.join(OPTIONAL_ACTIONS)}: "
        warnings.append(what + "Meilisearch goes on making the dump of a backup that is cancelled")
    artifact = PlannedArtifact(
        name=ARTIFACT_NAME,
        kind=KIND,
        format=FORMAT,
        suffix=SUFFIX,
        estimate_bytes=_estimate(stats),
        attributes={"server_version": version},
    )
    return BackupPlan(
        artifacts=[artifact],
        inventory=describe(version, stats),
        summary={
            "indexes": len(stats.indexes),
            "documents": sum(stats.counts.values()),
            "server_version": version,
        },
        tools={"meilisearch": version},
        warnings=warnings,
    )


def describe(version: str, stats: Stats) -> dict[str, Any]:
    """The inventory: what Meilisearch tells of its indexes."""
    return {
        "engine": "meilisearch",
        "version": version,
        "database_bytes": stats.database_size,
        "indexes": [
            {
                "uid": uid,
                "documents": index.number_of_documents,
                "document_bytes": index.raw_document_db_size,
                "fields": dict(sorted(index.field_distribution.items())),
            }
            for uid, index in sorted(stats.indexes.items())
        ],
        "counts": stats.counts,
    }


def _estimate(stats: Stats) -> int:
    raw = sum(index.raw_document_db_size for index in stats.indexes.values())
    size = raw // _OF_RAW if raw else (stats.used_database_size or stats.database_size) // _OF_DATABASE
    return _LEAST_ESTIMATE + size
