"""What the data path tests share: a coordinator on the real store behind a front that can fail, and small limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from agents.datapath import (
    DownloadLimits,
    RetryLimits,
    Staging,
    TransferMeter,
    Uploaded,
    UploadLimits,
    open_http,
    upload_artifact,
)
from agents.datapath.download import download_artifact
from agents.drivers.base import DumpSource, RestoreSink
from contracts.multipart import MIB
from contracts.records import ArtifactRecord, Attributes
from tests.agents.datapath.coordinator import RUN_ID, FakeCoordinator, coordinator_on
from tests.agents.datapath.dumps import planned
from tests.agents.datapath.faulty_store import FaultyStore
from tests.servers.s3 import Bucket

QUICK_RETRIES = RetryLimits(tries=4, total_s=30, first_pause_s=0.001, longest_pause_s=0.002)


@pytest.fixture
def limits(tmp_path: Path) -> UploadLimits:
    """Room for two parts of 5 MiB in memory, and for four in the spool."""
    return UploadLimits(
        spool_dir=str(tmp_path / "spool"),
        memory_bytes=10 * MIB,
        spool_bytes=20 * MIB,
        retry=QUICK_RETRIES,
        spill_after_s=0.01,
    )


@pytest.fixture
def staging(limits: UploadLimits) -> Staging:
    return Staging(limits)


@pytest.fixture
async def store(bucket: Bucket) -> AsyncIterator[FaultyStore]:
    async with FaultyStore(bucket.server.endpoint_url).running() as front:
        yield front


@pytest.fixture
async def coordinator(bucket: Bucket, store: FaultyStore) -> AsyncIterator[FakeCoordinator]:
    async with coordinator_on(bucket, store.url) as fake:
        fake.base_part_bytes = 5 * MIB
        yield fake


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_http() as session:
        yield session


class Agent:
    """Uploads and downloads with the test's fixtures."""

    def __init__(
        self, coordinator: FakeCoordinator, http: aiohttp.ClientSession, staging: Staging, limits: UploadLimits
    ) -> None:
        self.coordinator = coordinator
        self.http = http
        self.staging = staging
        self.limits = limits
        self.download_limits = DownloadLimits(retry=QUICK_RETRIES)
        self.meter = TransferMeter()
        self.identity = coordinator.node

    def limit(self, **changes: object) -> None:
        """Other limits from now on."""
        self.limits = msgspec.structs.replace(self.limits, **changes)
        self.staging = Staging(self.limits)

    async def upload(self, source: DumpSource, *, index: int = 1) -> Uploaded:
        return await upload_artifact(
            source,
            planned(),
            run_id=RUN_ID,
            attempt=1,
            index=index,
            recipients=self.coordinator.recipients,
            grants=self.coordinator,
            http=self.http,
            staging=self.staging,
            limits=self.limits,
            meter=self.meter,
        )

    async def download(self, artifact: ArtifactRecord, sink: RestoreSink) -> Attributes:
        return await download_artifact(
            artifact,
            sink,
            run_id=RUN_ID,
            attempt=1,
            grants=self.coordinator,
            identity=self.identity,
            http=self.http,
            limits=self.download_limits,
            meter=self.meter,
        )


@pytest.fixture
def agent(coordinator: FakeCoordinator, http: aiohttp.ClientSession, staging: Staging, limits: UploadLimits) -> Agent:
    return Agent(coordinator, http, staging, limits)
