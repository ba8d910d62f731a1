"""One artifact on its way back: store → event loop → thread: age → thread: zstd → the restore tool."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp
import structlog

from agents.datapath.channel import Channel
from agents.datapath.fd_writer import FdWriter, ToolGoneError
from agents.datapath.fetching import READ_BYTES, ObjectReader
from agents.datapath.grants import GrantClient, ask_patiently
from agents.datapath.limits import DownloadLimits
from agents.datapath.meter import TransferMeter
from agents.datapath.opening import ArtifactOpener
from agents.datapath.threads import TransferThreads, first_reason
from agents.datapath.unpacking import ArtifactUnpacker
from agents.drivers.base import RestoreSink
from contracts.age import Identity
from contracts.asks import DownloadGrant, OpenDownload
from contracts.errors import error
from contracts.records import ArtifactRecord, Attributes
from contracts.tasks import cancellable

log = structlog.get_logger()

_OPENED_CHUNKS: Final = 4
"""Of the size of what was received at once."""


async def download_artifact(
    artifact: ArtifactRecord,
    sink: RestoreSink,
    *,
    run_id: str,
    attempt: int,
    grants: GrantClient,
    identity: Identity,
    http: aiohttp.ClientSession,
    limits: DownloadLimits,
    meter: TransferMeter | None = None,
) -> Attributes:
    """What `sink.finish` said, after the tool got every byte of an artifact that is complete, authentic and the one of the
    record.

    When it returns or raises, nothing writes to `sink.fd` any more.  `close_input` and `finish` are called only if the whole
    artifact was right, or the tool has ended by itself: then its reason is the error.
    Raises: Corrupt `artifact.corrupt`, `store.missing`; RunFailed `download.failed`, `restore.failed`; Unavailable
    `store.unavailable`, `bus.unavailable`; whatever the coordinator refuses with.
    """
    question = OpenDownload(run_id=run_id, attempt=attempt, artifact=artifact.name, object_key=artifact.object_key)
    grant = await ask_patiently(lambda: grants.download(question), limits.retry)
    if grant.stored_bytes != artifact.stored_bytes or grant.payload_offset > grant.stored_bytes:
        sizes = f"{grant.stored_bytes} bytes in the store and {artifact.stored_bytes} in its record"
        raise error("artifact.corrupt", f"artifact {artifact.name!r} has {sizes}")
    transfer = _Transfer(artifact, grant, question, grants, identity, http, limits, meter or TransferMeter())
    try:
        await transfer.run(sink.fd)
    except ToolGoneError:
        sink.close_input()
        await sink.finish()
        raise error("restore.failed", f"the restore tool ended before it had read all of {artifact.name!r}") from None
    sink.close_input()
    restored = await sink.finish()
    log.info("artifact.restored", artifact=artifact.name, plain_bytes=artifact.plain_bytes, retries=transfer.meter.retries)
    return restored


class _Transfer:
    """The threads and the tasks of one download."""

    def __init__(
        self,
        artifact: ArtifactRecord,
        grant: DownloadGrant,
        question: OpenDownload,
        grants: GrantClient,
        identity: Identity,
        http: aiohttp.ClientSession,
        limits: DownloadLimits,
        meter: TransferMeter,
    ) -> None:
        self._artifact = artifact
        self._grant = grant
        self._identity = identity
        self.meter = meter
        chunks = max(2, limits.queue_bytes // READ_BYTES)
        self._sealed: Channel[bytes] = Channel(chunks)
        self._slots = asyncio.Semaphore(chunks)
        self._opened: Channel[bytes] = Channel(_OPENED_CHUNKS)
        self._threads = TransferThreads(2, on_stop=self._stop_channels)
        self._reader = ObjectReader(http, grants, question, grant, limits=limits, meter=meter, deliver=self._deliver)

    async def run(self, fd: int) -> None:
        """Returns when the tool has the last byte.  Raises: ToolGoneError, and what `download_artifact` says."""
        loop = asyncio.get_running_loop()
        writer = FdWriter(fd, stop=self._threads.stop)
        opener = ArtifactOpener(self._artifact, self._grant, self._identity)
        unpacker = ArtifactUnpacker(self._artifact, writer, self.meter)

        def taken() -> object:
            return loop.call_soon_threadsafe(self._slots.release)

        try:
            async with asyncio.TaskGroup() as group:
                opening = self._threads.run(lambda: opener.open_all(self._sealed, self._opened, taken))
                unpacking = self._threads.run(lambda: unpacker.unpack_all(self._opened))
                group.create_task(opening, name="download:open")
                group.create_task(unpacking, name="download:unpack")
                await cancellable(self._reader.run())
                self._sealed.close()
        except BaseExceptionGroup as several:
            reason = first_reason(several)
            raise reason from reason.__cause__
        finally:
            self._threads.close()

    async def _deliver(self, data: bytes) -> None:
        # The semaphore keeps the channel from ever being full: `put` does not block the event loop.
        await self._slots.acquire()
        self._sealed.put(data)

    def _stop_channels(self) -> None:
        self._sealed.cancel()
        self._opened.cancel()
