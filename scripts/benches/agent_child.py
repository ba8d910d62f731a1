"""A running agent as far as the data path is concerned: started once, told to upload by lines on its standard input.

It imports what an agent imports, so its memory is an agent's.  The coordinator's part is played by whoever started it, in
another process as in life: asks and answers travel as lines of JSON.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from typing import TypeVar

import aiohttp
import msgspec
import nats  # noqa: F401 - part of every agent's memory
import structlog

from agents.datapath import Staging, TransferMeter, UploadLimits, open_http, upload_artifact
from agents.drivers.base import PlannedArtifact
from agents.processes import Child, Command, start
from contracts.age import Recipient
from contracts.asks import (
    AbortArtifact,
    Answer,
    Ask,
    CloseArtifact,
    Closed,
    DownloadGrant,
    Grant,
    MoreParts,
    OpenArtifact,
    OpenDownload,
    Refused,
    answer_decoder,
)
from contracts.errors import StrongroomError, error, from_info
from contracts.records import ArtifactRecord

T = TypeVar("T")


class Job(msgspec.Struct, frozen=True, kw_only=True, tag="job"):
    """Upload what a program writes."""

    argv: list[str]
    environment: dict[str, str]
    recipient: str
    limits: UploadLimits
    run_id: str


class Asked(msgspec.Struct, frozen=True, kw_only=True, tag="asked"):
    ask: msgspec.Raw


class Done(msgspec.Struct, frozen=True, kw_only=True, tag="done"):
    elapsed_s: float
    artifact: ArtifactRecord
    spooled_parts: int


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    error: str


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag="ready"):
    pass


Said = Asked | Done | Failed | Ready


def say(message: Said) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


class LineGrants:
    """`GrantClient` over standard input and output."""

    def __init__(self, lines: asyncio.StreamReader) -> None:
        self._lines = lines
        self._lock = asyncio.Lock()

    async def open(self, ask: OpenArtifact) -> Grant:
        return await self._ask(ask, Grant)

    async def more(self, ask: MoreParts) -> Grant:
        return await self._ask(ask, Grant)

    async def close(self, ask: CloseArtifact) -> ArtifactRecord:
        return (await self._ask(ask, Closed)).artifact

    async def abort(self, ask: AbortArtifact) -> None:
        async with self._lock:
            say(Asked(ask=msgspec.Raw(msgspec.json.encode(ask))))
            await self._lines.readline()

    async def download(self, ask: OpenDownload) -> DownloadGrant:
        return await self._ask(ask, DownloadGrant)

    async def _ask(self, ask: Ask, expected: type[T]) -> T:
        async with self._lock:
            say(Asked(ask=msgspec.Raw(msgspec.json.encode(ask))))
            answer: Answer = answer_decoder.decode(await self._lines.readline())
        if isinstance(answer, Refused):
            raise from_info(answer.error)
        assert isinstance(answer, expected)
        return answer


class ProgramDump:
    """A program's output as a dump, as a driver gives it."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @property
    def fd(self) -> int:
        return self._child.stdout_fd

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        status = await self._child.wait()
        if not status.ok or not plain_bytes or not head or not tail:
            raise error("dump.failed", f"the program {status}", detail=self._child.stderr)
        return []


async def work(job: Job, grants: LineGrants, http: aiohttp.ClientSession) -> Done:
    planned = PlannedArtifact(name="bench", kind="database", format="raw", suffix="bench.zst.age", estimate_bytes=0)
    staging = Staging(job.limits)
    meter = TransferMeter()
    began = time.perf_counter()
    async with start(Command(argv=job.argv, env=job.environment), stdout=True) as child:
        uploaded = await upload_artifact(
            ProgramDump(child),
            planned,
            run_id=job.run_id,
            attempt=1,
            index=1,
            recipients=[Recipient.parse(job.recipient)],
            grants=grants,
            http=http,
            staging=staging,
            limits=job.limits,
            meter=meter,
        )
    elapsed_s = time.perf_counter() - began
    return Done(elapsed_s=elapsed_s, artifact=uploaded.artifact, spooled_parts=meter.spooled_parts)


async def main() -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    lines = asyncio.StreamReader(limit=1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with open_http() as http:
        grants = LineGrants(lines)
        say(Ready())
        while line := await lines.readline():
            try:
                say(await work(msgspec.json.decode(line, type=Job), grants, http))
            except StrongroomError as exc:
                say(Failed(error=str(exc)))


if __name__ == "__main__":
    asyncio.run(main())
