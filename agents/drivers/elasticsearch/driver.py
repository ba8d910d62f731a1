"""The Elasticsearch driver: what `agents.drivers.base` asks for, put together from this folder's parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Unpack

from agents.drivers.base import (
    BackupPlan,
    Capabilities,
    Confirm,
    DumpSource,
    PlannedArtifact,
    RestoreSink,
    confirmed,
)
from agents.drivers.defaults import Directories, DriverDefaults
from agents.drivers.elasticsearch import planning
from agents.drivers.elasticsearch.check import check_restore, index_of, stream_of
from agents.drivers.elasticsearch.cluster import open_cluster
from agents.drivers.elasticsearch.cluster_dump import dump_cluster
from agents.drivers.elasticsearch.cluster_restore import start_cluster_restore
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.dump import dump_index
from agents.drivers.elasticsearch.health import look_at_health
from agents.drivers.elasticsearch.metadata import CLUSTER_KIND
from agents.drivers.elasticsearch.reading import Reading
from agents.drivers.elasticsearch.restore import start_index_restore
from agents.drivers.elasticsearch.stream_restore import start_stream_restore
from agents.drivers.pipes import PipeWriter, piped_dump
from contracts.records import ArtifactRecord, EngineHealth, RestoreTarget
from contracts.services import ElasticsearchOptions


class ElasticsearchDriver(DriverDefaults[ElasticsearchConnection, ElasticsearchOptions]):
    """One cluster, Elasticsearch or OpenSearch.  Holds no connection: each call stands for itself."""

    reading: Reading | None = None
    """How documents are read, when not as the cluster's version suggests."""

    def __init__(
        self,
        connection: ElasticsearchConnection,
        options: ElasticsearchOptions | None = None,
        **directories: Unpack[Directories],
    ) -> None:
        super().__init__(connection, options or ElasticsearchOptions(), directories)
        self._generations: dict[tuple[str, str], set[str]] = {}
        """By run and data stream: what its restore has put in place so far."""

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(rename=True)

    async def health(self) -> EngineHealth:
        return await look_at_health(self._connection, self._options)

    async def plan_backup(self) -> BackupPlan:
        return await planning.plan_backup(self._connection, self._options)

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        async def produce(pipe: PipeWriter) -> list[str]:
            if artifact.kind == CLUSTER_KIND:
                return await dump_cluster(self._connection, pipe)
            return await dump_index(self._connection, self._options, artifact, pipe, reading=self.reading)

        return piped_dump(produce, name=artifact.name)

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        return await planning.finish_backup(self._connection, self._options, plan)

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        async with open_cluster(self._connection) as http:
            await check_restore(http, artifacts, target)

    @asynccontextmanager
    async def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AsyncIterator[RestoreSink]:
        name, replace = artifact.name, target.replace
        if artifact.kind == CLUSTER_KIND:
            async with start_cluster_restore(self._connection, name, replace=replace, confirm=confirm) as sink:
                yield sink
        elif stream := stream_of(artifact, target):
            made = self._generations.setdefault((run_id, stream), set())
            async with start_stream_restore(
                self._connection, name, stream, run_id, made, replace=replace, confirm=confirm
            ) as sink:
                yield sink
        else:
            async with start_index_restore(
                self._connection,
                index_of(artifact, target),
                run_id,
                replace=replace,
                with_aliases=name not in target.rename,
                confirm=confirm,
            ) as sink:
                yield sink

    def restore_order(self, artifacts: list[ArtifactRecord]) -> list[ArtifactRecord]:
        """Templates and pipelines before what needs them; generations of a data stream as they came, oldest first."""
        return sorted(artifacts, key=lambda artifact: artifact.kind != CLUSTER_KIND)
