"""One artifact on its way to the store: the way of its bytes, and the order in which things become final.

    dump ─▶ thread 1: read, zstd ─▶ thread 2: age, hashes, parts ─▶ event loop: PUT, several parts at once
                                                  └ memory or spool ┘

The last sealed chunk is made only after the dump tool has ended well.  So a dump that failed leaves, whatever has reached
the store by then, nothing that could be taken for an age file, and nobody ever asks to close it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import aiohttp
import msgspec
import structlog

from agents.datapath.channel import Channel
from agents.datapath.compressing import CHANNEL_CHUNKS, compress_dump
from agents.datapath.dump_reader import DumpReader
from agents.datapath.grants import GrantClient, PartUrls, ask_patiently
from agents.datapath.limits import UploadLimits
from agents.datapath.meter import TransferMeter
from agents.datapath.part_put import PartSender
from agents.datapath.sealing import PartSealer, SealedPart, SealedTotal
from agents.datapath.staging import Staging
from agents.datapath.threads import TransferThreads, first_reason
from agents.drivers.base import DumpSource, PlannedArtifact
from agents.processes import uncancelled
from contracts.age import Recipient
from contracts.asks import AbortArtifact, CloseArtifact, Grant, OpenArtifact, PartReceipt
from contracts.errors import StrongroomError
from contracts.records import ArtifactRecord
from contracts.tasks import cancellable
from contracts.tracing import span

log = structlog.get_logger()

_ABORT_S: Final = 8.0


class Uploaded(msgspec.Struct, frozen=True):
    """An artifact that is an object now."""

    artifact: ArtifactRecord
    warnings: list[str]
    """The dump tool's."""


async def upload_artifact(
    source: DumpSource,
    planned: PlannedArtifact,
    *,
    run_id: str,
    attempt: int,
    index: int,
    recipients: Sequence[Recipient],
    grants: GrantClient,
    http: aiohttp.ClientSession,
    staging: Staging,
    limits: UploadLimits,
    meter: TransferMeter | None = None,
) -> Uploaded:
    """The artifact, stored and closed.  Leaving in any other way asks the coordinator to forget the upload.

    When it returns or raises, nothing reads `source.fd` any more and nothing of it is left in memory or spool.
    Raises: RunFailed `dump.*` (also from `source.finish`), `upload.*`, `spool.full`; Unavailable `store.*`,
    `bus.unavailable`; Corrupt `upload.mismatch`; Conflict `quota.exceeded`; whatever the coordinator refuses with.
    """
    opening = OpenArtifact(
        run_id=run_id,
        attempt=attempt,
        index=index,
        name=planned.name,
        kind=planned.kind,
        format=planned.format,
        suffix=planned.suffix,
        estimate_bytes=planned.estimate_bytes,
        attributes=planned.attributes,
    )
    try:
        grant = await ask_patiently(lambda: grants.open(opening), limits.retry)
        urls = PartUrls(grants, grant, run_id=run_id, attempt=attempt, index=index, limits=limits.retry)
        transfer = _Transfer(source, recipients, grant, urls, http, staging, limits, meter or TransferMeter())
        await transfer.run()
        closing = CloseArtifact(
            run_id=run_id,
            attempt=attempt,
            index=index,
            parts=sorted(transfer.receipts, key=lambda receipt: receipt.number),
            stored_bytes=transfer.total.stored_bytes,
            plain_bytes=transfer.plain_bytes,
            sha256=transfer.total.sha256,
        )
        artifact = await ask_patiently(lambda: grants.close(closing), limits.retry)
    except BaseException:
        abort = _abort(grants, AbortArtifact(run_id=run_id, attempt=attempt, index=index))
        await uncancelled(abort, name=f"abort:{index}")
        raise
    log.info(
        "artifact.uploaded",
        artifact=planned.name,
        plain_bytes=artifact.plain_bytes,
        stored_bytes=artifact.stored_bytes,
        parts=len(closing.parts),
        spooled_parts=transfer.meter.spooled_parts,
        retries=transfer.meter.retries,
    )
    return Uploaded(artifact, transfer.warnings)


async def _abort(grants: GrantClient, question: AbortArtifact) -> None:
    """The coordinator's reaper does the same some time later if this does not reach it."""
    try:
        async with asyncio.timeout(_ABORT_S):
            await grants.abort(question)
    except (StrongroomError, TimeoutError) as exc:
        log.warning("artifact.abort_failed", reason=str(exc) or "the coordinator did not answer")


class _Transfer:
    """The threads and tasks of one upload."""

    def __init__(
        self,
        source: DumpSource,
        recipients: Sequence[Recipient],
        grant: Grant,
        urls: PartUrls,
        http: aiohttp.ClientSession,
        staging: Staging,
        limits: UploadLimits,
        meter: TransferMeter,
    ) -> None:
        self._source = source
        self._recipients = recipients
        self._base_part_bytes = grant.base_part_bytes
        self._urls = urls
        self._staging = staging
        self._limits = limits
        self._sender = PartSender(http, urls, limits, meter)
        self._chunks: Channel[bytes] = Channel(CHANNEL_CHUNKS)
        self._threads = TransferThreads(2, on_stop=self._chunks.cancel)
        self._parts: asyncio.Queue[SealedPart | None] = asyncio.Queue()  # bounded by the room that each part in it takes
        self.meter = meter
        self.receipts: list[PartReceipt] = []
        self.warnings: list[str] = []
        self.total = SealedTotal(0, "")
        self.plain_bytes = 0

    async def run(self) -> None:
        """Returns when every part is stored."""
        try:
            async with asyncio.TaskGroup() as group:
                ahead = group.create_task(cancellable(self._urls.keep_ahead()), name="upload:grants")
                sealing = group.create_task(self._seal(), name="upload:seal")
                senders = [
                    group.create_task(cancellable(self._send_parts()), name=f"upload:send-{number}")
                    for number in range(self._limits.parts_in_flight)
                ]
                with span("artifact.dump", within=True):
                    await self._read_to_end()
                self.total = await sealing
                self._parts.put_nowait(None)
                await asyncio.wait(senders)
                ahead.cancel()
        except BaseExceptionGroup as several:
            reason = first_reason(several)
            raise reason from reason.__cause__
        finally:
            self._threads.close()
            while not self._parts.empty():
                part = self._parts.get_nowait()
                if part is not None:
                    part.release()

    async def _read_to_end(self) -> None:
        reader = DumpReader(self._source.fd, stop=self._threads.stop, stall_s=self._limits.dump_stall_s)
        level = self._limits.zstd_level
        await self._threads.run(lambda: compress_dump(reader, self._chunks, level=level, meter=self.meter))
        self.warnings = await self._source.finish(reader.plain_bytes, reader.head, reader.tail)
        self.plain_bytes = reader.plain_bytes
        # Only now may the last sealed chunk come into being.
        self._chunks.close()

    async def _seal(self) -> SealedTotal:
        loop = asyncio.get_running_loop()
        sealer = PartSealer(
            self._recipients,
            self._base_part_bytes,
            staging=self._staging,
            limits=self._limits,
            stop=self._threads.stop,
            meter=self.meter,
            deliver=lambda part: loop.call_soon_threadsafe(self._parts.put_nowait, part),
        )
        return await self._threads.run(lambda: sealer.seal_all(self._chunks))

    async def _send_parts(self) -> None:
        while (part := await self._parts.get()) is not None:
            try:
                self.receipts.append(await self._sender.send(part))
            finally:
                part.release()
        self._parts.put_nowait(None)
