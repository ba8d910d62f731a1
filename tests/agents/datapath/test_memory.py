"""The memory of an agent does not depend on what it moves."""

from __future__ import annotations

import asyncio
import hashlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

ROOT = Path(__file__).parents[3]
MOST_MIB = 96.0


@pytest.fixture
async def forgetful_store() -> AsyncIterator[str]:
    """A store that answers as one and keeps nothing."""

    async def take(request: web.Request) -> web.Response:
        digest = hashlib.md5(usedforsecurity=False)
        async for data in request.content.iter_any():
            digest.update(data)
        return web.Response(headers={"ETag": f'"{digest.hexdigest()}"'})

    app = web.Application(client_max_size=1024**4)
    app.router.add_put("/{number}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def peak_of(url: str, spool: Path, *, mib: int, part_mib: int) -> float:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.agents.datapath.memory_probe",
        *(url, str(spool), str(mib), str(part_mib)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    match = re.search(rb"peak_mib=([\d.]+)", said)
    assert match is not None
    return float(match[1])


async def test_a_stream_four_times_as_long_takes_no_more_memory(forgetful_store: str, tmp_path: Path) -> None:
    short = await peak_of(forgetful_store, tmp_path, mib=64, part_mib=8)
    long = await peak_of(forgetful_store, tmp_path, mib=256, part_mib=8)
    assert long <= short + 4
    assert long <= MOST_MIB


async def test_parts_of_any_size_take_no_more_memory(forgetful_store: str, tmp_path: Path) -> None:
    """525 MiB are the parts of an object of 5 TiB; one of them is filled, the next begun."""
    assert await peak_of(forgetful_store, tmp_path, mib=560, part_mib=525) <= MOST_MIB
    assert list(tmp_path.iterdir()) == []
