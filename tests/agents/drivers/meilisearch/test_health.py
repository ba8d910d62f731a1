"""Health: quick, never raised, and with the reason."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from agents.drivers.meilisearch import health
from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.meilisearch.driver import MeilisearchDriver
from contracts.errors import RunFailed
from tests.agents.drivers.meilisearch.engine import MeilisearchUnderTest
from tests.servers.meilisearch.control import MUST_RESTART


async def test_an_instance_that_must_be_restarted_says_so(meilisearch: MeilisearchUnderTest) -> None:
    meilisearch.server.control.set(MUST_RESTART)
    seen = await meilisearch.driver().health()
    assert seen.error is not None
    assert seen.error.code == "engine.degraded"
    with pytest.raises(RunFailed, match="must be restarted"):
        await meilisearch.driver().plan_backup()


async def test_a_key_file_that_is_missing_is_told(meilisearch: MeilisearchUnderTest) -> None:
    seen = await meilisearch.driver(api_key_file="/nonexistent").health()
    assert seen.error is not None
    assert seen.error.field == "connection.api_key_file"


async def test_something_else_at_the_address_is_told_from_meilisearch(tmp_path: Path) -> None:
    async with served(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") as url:
        seen = await driver(url, tmp_path).health()
    assert seen.error is not None
    assert seen.error.code == "engine.refused"


async def test_an_instance_that_hangs_is_given_up_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_TIMEOUT_S", 0.3)
    async with served(b"") as url:
        began_at = time.monotonic()
        seen = await driver(url, tmp_path).health()
    assert seen.error is not None
    assert seen.error.code == "engine.unreachable"
    assert time.monotonic() - began_at < 5


def driver(url: str, directory: Path) -> MeilisearchDriver:
    connection = MeilisearchConnection(url=url, dump_dir=str(directory))
    return MeilisearchDriver(connection, runtime_dir=directory, work_dir=directory)


class served:  # noqa: N801  # a context, like those of asyncio
    """A server on a loopback port that gives every connection the same bytes, and hangs when there are none."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._ended = asyncio.Event()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aexit__(self, *_: object) -> None:
        self._ended.set()
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not self._answer:
            await self._ended.wait()
        writer.write(self._answer)
        await writer.drain()
        writer.close()
