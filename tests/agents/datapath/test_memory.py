"""The memory of an agent does not depend on what it moves."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import zstandard
from aiohttp import web

from contracts.age import Encryptor, FileKey, Identity
from contracts.multipart import MIB
from contracts.records import ArtifactRecord

ROOT = Path(__file__).parents[3]
MOST_MIB = 96.0
ROOM_MIB = 24.0
"""`UploadLimits.memory_bytes`, as it is by default."""


class Store:
    """Answers as a store.  Keeps nothing of what it is given, and has one object."""

    def __init__(self, content: Path) -> None:
        self.content = content
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        digest = hashlib.md5(usedforsecurity=False)
        async for data in request.content.iter_any():
            digest.update(data)
        return web.Response(headers={"ETag": f'"{digest.hexdigest()}"'})

    async def give(self, _: web.Request) -> web.FileResponse:
        return web.FileResponse(self.content)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    created = Store(tmp_path / "object")
    app = web.Application(client_max_size=1024**4)
    app.router.add_put("/{number}", created.take)
    app.router.add_get("/", created.give)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    created.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield created
    await runner.cleanup()


async def peak_of(*arguments: str) -> float:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.agents.datapath.memory_probe", *arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    match = re.search(rb"peak_mib=([\d.]+)", said)
    assert match is not None
    return float(match[1])


async def test_a_stream_four_times_as_long_takes_no_more_memory(store: Store, tmp_path: Path) -> None:
    spool = str(tmp_path / "spool")
    short = await peak_of("upload", store.url, spool, "64", "8")
    long = await peak_of("upload", store.url, spool, "256", "8")
    # The shorter one may end before all the room for parts was needed; 192 MiB more must not need more than that room.
    assert long <= short + ROOM_MIB
    assert long <= MOST_MIB
    assert long <= MOST_MIB


async def test_parts_of_any_size_take_no_more_memory(store: Store, tmp_path: Path) -> None:
    """525 MiB are the parts of an object of 5 TiB; one of them is filled, the next begun."""
    spool = tmp_path / "spool"
    assert await peak_of("upload", store.url, str(spool), "560", "525") <= MOST_MIB
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("block", [os.urandom(MIB), bytes(MIB)], ids=["random", "zeros"])
async def test_a_download_takes_little_memory_however_well_its_bytes_were_compressed(store: Store, block: bytes) -> None:
    mib = 256
    file_key = FileKey.generate()
    encryptor = Encryptor([Identity.generate().recipient], file_key=file_key)
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    with store.content.open("wb") as file:
        file.write(encryptor.preamble)
        for _ in range(mib):
            file.write(encryptor.update(compressor.compress(block)))
        file.write(encryptor.update(compressor.flush()))
        file.write(encryptor.finish())
    record = ArtifactRecord(
        name="x",
        kind="x",
        format="x",
        object_key="x",
        stored_bytes=store.content.stat().st_size,
        plain_bytes=mib * MIB,
        sha256=hashlib.sha256(store.content.read_bytes()).hexdigest(),
        attributes={"file_key": file_key.reveal().hex()},
    )
    assert await peak_of("download", store.url, msgspec.json.encode(record).decode()) <= MOST_MIB
