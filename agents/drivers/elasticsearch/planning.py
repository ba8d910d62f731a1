"""What a backup is going to consist of: every look at the cluster that a backup needs before its first byte."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from agents.drivers.base import BackupPlan, PlannedArtifact
from agents.drivers.elasticsearch.catalogue import (
    Catalogue,
    Details,
    IndexFacts,
    choose,
    listed,
    look_at_details,
    look_at_indices,
    refresh,
    require_readable,
    require_stored,
)
from agents.drivers.elasticsearch.cluster import ClusterFacts, look_at_cluster, open_cluster
from agents.drivers.elasticsearch.cluster_dump import read_part
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.metadata import CLUSTER_FORMAT, CLUSTER_KIND, PARTS, parse_part
from agents.drivers.elasticsearch.names import REPLACED, how_to_have_back
from agents.drivers.http_engine import EngineHttp
from contracts.errors import RunFailed
from contracts.services import ElasticsearchOptions
from contracts.wire import utc_now

INDEX_KIND: Final = "index"
INDEX_FORMAT: Final = "elasticdump-tar"
STREAM: Final = "data_stream"
"""The attribute that names an index's data stream."""
_SMALLEST_ESTIMATE: Final = 16 * 1024
_STORED_RATIO: Final = 3
"""An index on disk is compressed, its documents are not."""


async def plan_backup(connection: ElasticsearchConnection, options: ElasticsearchOptions) -> BackupPlan:
    """Raises: RunFailed `engine.*`; nothing was changed."""
    async with open_cluster(connection) as http:
        facts = await look_at_cluster(http)
        catalogue = await look_at_indices(http)
        indices, warnings = choose(catalogue, options)
        require_readable(indices)
        names = [index.name for index in indices]
        await refresh(http, names)
        details = await look_at_details(http, names)
        warnings += require_stored(details)
        if gone := [name for name in names if name not in details]:
            warnings.append(f"{listed(gone)}: deleted while the backup was being planned")
        indices = [index for index in indices if index.name in details]
        metadata = await _metadata(http) if options.cluster_metadata else {}
        warnings += _warn(catalogue, indices)
    artifacts = [_index_artifact(index, details[index.name], facts) for index in indices]
    if options.cluster_metadata:
        artifacts.insert(0, _cluster_artifact(facts, names, metadata))
    return BackupPlan(
        artifacts=artifacts,
        inventory=_inventory(facts, catalogue, indices, details, metadata),
        summary={
            "indices": len(indices),
            "data_streams": len({index.stream for index in indices if index.stream}),
            "documents": sum(details[index.name].documents for index in indices),
            "size_bytes": sum(index.size_bytes for index in indices),
            "server_version": facts.number,
            "distribution": facts.distribution,
        },
        tools={facts.distribution: facts.number},
        warnings=warnings,
        parallel=options.parallel,
    )


async def finish_backup(connection: ElasticsearchConnection, options: ElasticsearchOptions, plan: BackupPlan) -> list[str]:
    """Warnings of indices that were made since the plan.  Raises: RunFailed `engine.*`."""
    async with open_cluster(connection) as http:
        catalogue = await look_at_indices(http)
    try:
        indices, _ = choose(catalogue, options)
    except RunFailed:  # an index that was included by name was dumped, and then deleted
        return []
    planned = {artifact.name for artifact in plan.artifacts if artifact.kind == INDEX_KIND}
    fresh = [index.name for index in indices if index.name not in planned]
    return [f"{listed(fresh)}: made while the backup ran, so not in it; the next one will have it"] if fresh else []


def cluster_name(indices: list[str]) -> str:
    """`cluster`, unless an index bears that name: names of artifacts are unique in a backup."""
    name = CLUSTER_KIND
    while name in indices:
        name = f"({name})"
    return name


def _index_artifact(index: IndexFacts, found: Details, facts: ClusterFacts) -> PlannedArtifact:
    return PlannedArtifact(
        name=index.name,
        kind=INDEX_KIND,
        format=INDEX_FORMAT,
        suffix="elasticdump.tar.zst.age",
        estimate_bytes=max(index.size_bytes * _STORED_RATIO, _SMALLEST_ESTIMATE),
        attributes={
            "server_version": facts.number,
            "distribution": facts.distribution,
            "documents": found.documents,
            **({STREAM: index.stream} if index.stream else {}),
        },
    )


def _cluster_artifact(facts: ClusterFacts, names: list[str], metadata: dict[str, list[str]]) -> PlannedArtifact:
    count = sum(len(found) for found in metadata.values())
    return PlannedArtifact(
        name=cluster_name(names),
        kind=CLUSTER_KIND,
        format=CLUSTER_FORMAT,
        suffix="cluster.tar.zst.age",
        estimate_bytes=_SMALLEST_ESTIMATE * (1 + count // 4),
        attributes={"server_version": facts.number, "distribution": facts.distribution, "objects": count},
    )


async def _metadata(http: EngineHttp) -> dict[str, list[str]]:
    """Names by kind of thing; what may not be read is told by its dump."""
    names: dict[str, list[str]] = {}
    for part in PARTS:
        try:
            answer = await read_part(http, part)
        except RunFailed as exc:
            if exc.code != "engine.permission":
                raise
            continue
        if answer is not None:
            names[part.words] = sorted(parse_part(part, answer))
    return names


def _warn(catalogue: Catalogue, indices: list[IndexFacts]) -> list[str]:
    warnings: list[str] = []
    if unfinished := [name for name in catalogue.unfinished if not name.startswith(REPLACED)]:
        warnings.append(
            f"{listed(unfinished)}: left by a restore that was cut off with its agent; not in the backup. Restore "
            "again, or delete it when no restore is under way"
        )
    if kept := [name for name in catalogue.unfinished if name.startswith(REPLACED)]:
        warnings.append(
            f"{listed(kept)}: what a restore was about to replace when it was cut off with its agent; not in the backup, "
            "and perhaps all that is left of that index: its setting index.resize.source.name says of which. Restore again "
            f"with --replace to lose it, or have it back: {how_to_have_back(kept[0], 'INDEX')}"
        )
    chosen = {index.name for index in indices}
    if red := [index.name for index in catalogue.indices if index.health == "red" and index.name not in chosen]:
        warnings.append(f"the cluster is red because of {listed(red)}, which this backup leaves out")
    return warnings


def _inventory(
    facts: ClusterFacts,
    catalogue: Catalogue,
    indices: list[IndexFacts],
    details: dict[str, Details],
    metadata: dict[str, list[str]],
) -> Any:
    """Plain data for the sealed inventory."""
    return msgspec.to_builtins(
        {
            "taken_at": utc_now(),
            "distribution": facts.distribution,
            "server_version": facts.number,
            "cluster_name": facts.name,
            "cluster_uuid": facts.uuid,
            "counts": {index.name: details[index.name].documents for index in indices},
            "indices": [
                {
                    "name": index.name,
                    "data_stream": index.stream or None,
                    "documents": details[index.name].documents,
                    "size_bytes": index.size_bytes,
                    "shards": details[index.name].shards,
                    "aliases": details[index.name].aliases,
                }
                for index in indices
            ],
            "data_streams": [
                {"name": stream.name, "indices": stream.indices, "template": stream.template}
                for stream in catalogue.streams
                if any(index.stream == stream.name for index in indices)
            ],
            "metadata": metadata,
        }
    )
