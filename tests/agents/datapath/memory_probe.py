"""Moves much data in a process of its own, with an agent's imports, and prints the memory that took.

    python -m tests.agents.datapath.memory_probe upload URL SPOOL_DIR MIB PART_MIB
    python -m tests.agents.datapath.memory_probe download URL RECORD

The first sends a stream of random bytes to a store that forgets them; the second fetches the object of a record (JSON),
whose file key the record's attributes hold.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import nats  # noqa: F401 - part of every agent's memory

from agents.datapath import DownloadLimits, Staging, UploadLimits, download_artifact, open_http, upload_artifact
from agents.drivers.base import PlannedArtifact
from contracts.age import FileKey, Identity, header_size, make_header
from contracts.asks import (
    AbortArtifact,
    CloseArtifact,
    DownloadGrant,
    Grant,
    MoreParts,
    OpenArtifact,
    OpenDownload,
    SignedPart,
)
from contracts.multipart import MIB
from contracts.records import ArtifactRecord, Attributes

RUN_ID = "20261122T000512Z-k7xq"


class Grants:
    """Lets every part be put to one URL."""

    def __init__(self, url: str, part_bytes: int) -> None:
        self._url = url
        self._part_bytes = part_bytes

    async def open(self, ask: OpenArtifact) -> Grant:
        assert ask.index == 1
        return self._grant(1, 4)

    async def more(self, ask: MoreParts) -> Grant:
        return self._grant(ask.first, ask.count)

    async def close(self, ask: CloseArtifact) -> ArtifactRecord:
        return ArtifactRecord(
            name="x",
            kind="x",
            format="x",
            object_key="x",
            stored_bytes=ask.stored_bytes,
            plain_bytes=ask.plain_bytes,
            sha256=ask.sha256,
        )

    async def abort(self, ask: AbortArtifact) -> None:
        raise AssertionError(f"the upload of artifact {ask.index} failed")

    async def download(self, ask: OpenDownload) -> DownloadGrant:
        raise NotImplementedError(ask.artifact)

    def _grant(self, first: int, count: int) -> Grant:
        parts = [SignedPart(number, f"{self._url}/{number}") for number in range(first, first + count)]
        return Grant(base_part_bytes=self._part_bytes, parts=parts, expires_at=datetime.now(UTC) + timedelta(hours=1))


class Stream:
    """Random bytes."""

    def __init__(self, mib: int) -> None:
        self.fd, write_fd = os.pipe()

        def write() -> None:
            for _ in range(mib):
                view = memoryview(os.urandom(MIB))
                while view:
                    view = view[os.write(write_fd, view) :]
            os.close(write_fd)

        threading.Thread(target=write).start()

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        assert plain_bytes > len(head) == len(tail)
        return []


class OneObject(Grants):
    """Lets one object be read whose file key is known."""

    def __init__(self, url: str, record: ArtifactRecord, node: Identity) -> None:
        super().__init__(url, 0)
        file_key = FileKey(bytes.fromhex(str(record.attributes["file_key"])))
        self._granted = DownloadGrant(
            url=url,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
            header=make_header(file_key, [node.recipient]),
            payload_offset=header_size(1),
            stored_bytes=record.stored_bytes,
        )

    async def download(self, ask: OpenDownload) -> DownloadGrant:
        assert ask.artifact
        return self._granted


class Drain:
    """Takes bytes and forgets them."""

    def __init__(self) -> None:
        self._read_fd, self.fd = os.pipe()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while os.read(self._read_fd, 65536):
            pass

    def close_input(self) -> None:
        os.close(self.fd)

    async def finish(self) -> Attributes:
        self._reader.join()
        return {}


async def upload(url: str, spool_dir: str, mib: int, part_mib: int) -> None:
    limits = UploadLimits(spool_dir=spool_dir)
    planned = PlannedArtifact(name="x", kind="x", format="x", suffix="x", estimate_bytes=0)
    async with open_http() as http:
        await upload_artifact(
            Stream(mib),
            planned,
            run_id=RUN_ID,
            attempt=1,
            index=1,
            recipients=[Identity.generate().recipient],
            grants=Grants(url, part_mib * MIB),
            http=http,
            staging=Staging(limits),
            limits=limits,
        )


async def download(url: str, record: ArtifactRecord) -> None:
    node = Identity.generate()
    grants = OneObject(url, record, node)
    async with open_http() as http:
        await download_artifact(
            record,
            Drain(),
            run_id=RUN_ID,
            attempt=1,
            grants=grants,
            identity=node,
            http=http,
            limits=DownloadLimits(),
        )


def peak_mib() -> float:
    match = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


def main(verb: str, *arguments: str) -> None:
    if verb == "upload":
        url, spool_dir, mib, part_mib = arguments
        asyncio.run(upload(url, spool_dir, int(mib), int(part_mib)))
    else:
        url, record = arguments
        asyncio.run(download(url, msgspec.json.decode(record, type=ArtifactRecord)))
    print(f"peak_mib={peak_mib():.1f}")  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
