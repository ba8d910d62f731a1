"""An agent's work on one service in a process of its own: `backup` and `restore`, as often as it is told to.

The whole way is measured: the driver, the data path and the engine's programs, down to an object in the store and back.  The
coordinator's part is played in the same process, which counts against us.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import msgspec
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from agents.backup import upload_all
from agents.datapath import Staging, UploadLimits, open_http, upload_artifact
from agents.datapath.download import download_artifact
from agents.datapath.limits import DownloadLimits
from agents.datapath.upload import Uploaded
from agents.drivers.base import Driver, PlannedArtifact
from agents.drivers.kinds import Connection, make_driver
from contracts.records import ArtifactRecord, RestoreTarget
from contracts.services import ServiceOptions
from scripts.benches.cost import Cost
from scripts.benches.procfs import peak_mib
from tests.agents.datapath.coordinator import RUN_ID, FakeCoordinator

if TYPE_CHECKING:
    from tests.servers.s3 import Bucket


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A service and where its backups go."""

    connection: Any
    options: ServiceOptions
    target: RestoreTarget
    endpoint_url: str
    bucket: str
    region: str
    access_key: str
    secret_key: str
    directory: str
    """The child's own, for spool and private files."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    action: str
    """`backup`, or `restore` of what was backed up last."""


class Work:
    def __init__(self, driver: Driver, coordinator: FakeCoordinator, http: aiohttp.ClientSession, place: Place) -> None:
        self._driver = driver
        self._coordinator = coordinator
        self._http = http
        self._target = place.target
        self._limits = UploadLimits(spool_dir=str(Path(place.directory) / "spool"))
        self._staging = Staging(self._limits)
        self._artifacts: list[ArtifactRecord] = []

    async def backup(self) -> int:
        """Bytes stored."""
        plan = await self._driver.plan_backup()

        async def upload(index: int, planned: PlannedArtifact) -> Uploaded:
            async with self._driver.dump(planned) as source:
                return await upload_artifact(
                    source,
                    planned,
                    run_id=RUN_ID,
                    attempt=1,
                    index=index,
                    recipients=self._coordinator.recipients,
                    grants=self._coordinator,
                    http=self._http,
                    staging=self._staging,
                    limits=self._limits,
                )

        async with self._driver.holding(plan):
            self._artifacts = [each.artifact for each in await upload_all(plan, upload)]
            await self._driver.finish_backup(plan)
        return sum(artifact.stored_bytes for artifact in self._artifacts)

    async def restore(self) -> int:
        """Bytes fetched."""
        await self._driver.check_restore(self._artifacts, self._target)
        for artifact in self._driver.restore_order(self._artifacts):
            async with self._driver.restore(artifact, self._target, RUN_ID) as sink:
                await download_artifact(
                    artifact,
                    sink,
                    run_id=RUN_ID,
                    attempt=1,
                    grants=self._coordinator,
                    identity=self._coordinator.node,
                    http=self._http,
                    limits=DownloadLimits(),
                )
        return sum(artifact.stored_bytes for artifact in self._artifacts)


def _cpu_s() -> float:
    """Ours and that of the programs that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


async def _measured(work: Work, action: str) -> Cost:
    cpu_before, began = _cpu_s(), time.perf_counter()
    moved = await (work.backup() if action == "backup" else work.restore())
    return Cost(
        wall_s=time.perf_counter() - began,
        cpu_s=_cpu_s() - cpu_before,
        memory_mib=peak_mib(os.getpid()),
        stored_bytes=moved,
    )


@asynccontextmanager
async def _work(place: Place) -> AsyncIterator[Work]:
    directory = Path(place.directory)
    runtime_dir, work_dir = directory / "run", directory / "work"
    for each in (runtime_dir, work_dir):
        each.mkdir(mode=0o700, exist_ok=True)
    connection = msgspec.convert(place.connection, Connection)
    driver = make_driver(connection, place.options, runtime_dir=runtime_dir, work_dir=work_dir)
    async with (
        get_session().create_client(
            "s3",
            config=AioConfig(signature_version="s3v4", s3={"addressing_style": "path"}),
            endpoint_url=place.endpoint_url,
            region_name=place.region,
            aws_access_key_id=place.access_key,
            aws_secret_access_key=place.secret_key,
        ) as client,
        open_http() as http,
    ):
        # Of the bucket, the coordinator's part needs the name only.
        bucket = cast("Bucket", SimpleNamespace(name=place.bucket))
        yield Work(driver, FakeCoordinator(client, client, bucket), http, place)


async def main(path: str) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    place = msgspec.json.decode(Path(path).read_bytes(), type=Place)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with _work(place) as work:
        while line := await lines.readline():
            cost = await _measured(work, msgspec.json.decode(line, type=Told).action)
            sys.stdout.buffer.write(msgspec.json.encode(cost) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
