"""NATS: one large stream, beside `nats stream backup` where that program is, and nats-py where it is not."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
from nats.aio.client import Client

from contracts.services import NATSOptions
from scripts.benches.cost import Cost
from scripts.benches.engine_case import Case, Prepare, target
from scripts.benches.peer_side import Pipeline
from tests.servers.nats_service import APP, PASSWORDS, NatsService

_STREAM: Final = "BENCH"
_MESSAGE_BYTES: Final = 8 * 1024
_MIB: Final = 1024 * 1024
_AT_ONCE: Final = 256
_BACKUP: Final = 'nats stream backup --no-progress "$1" "$2" >/dev/null 2>&1 && tar -c -C "$2" . && rm -r "$2"'
_RESTORE: Final = 'mkdir "$2" && tar -x -C "$2" && nats stream restore --no-progress "$2" >/dev/null 2>&1 && rm -r "$2"'


def cases(size_mib: int) -> Iterator[tuple[str, Prepare]]:
    yield f"nats, {size_mib} MiB in messages of 8 KiB", partial(_stream, size_mib)


@asynccontextmanager
async def _stream(size_mib: int, directory: Path) -> AsyncIterator[Case]:
    home = directory / "nats"
    home.mkdir()
    server = NatsService(home)
    count = size_mib * _MIB // _MESSAGE_BYTES
    program = shutil.which("nats")
    environment = {"NATS_URL": "", "NATS_USER": APP, "NATS_PASSWORD": PASSWORDS[APP]}
    copy = str(directory / "copy")

    def peer(script: str, action: str) -> list[str]:
        if program is None:
            return [sys.executable, "-m", "scripts.benches.nats_streams", action, _STREAM]
        return ["sh", "-c", script, "sh", _STREAM, copy]

    async def back_up(pipeline: Pipeline) -> Cost:
        return await asyncio.to_thread(pipeline.upload, peer(_BACKUP, "backup"), environment, keep=True)

    async def restore(pipeline: Pipeline, identity_file: str) -> Cost:
        cost = await asyncio.to_thread(pipeline.fetch, peer(_RESTORE, "restore"), environment, identity_file)
        await check_restored()
        return cost

    async def make_room() -> None:
        async with server.connect() as client:
            await client.jsm().delete_stream(_STREAM)

    async def check_restored() -> None:
        async with server.connect() as client:
            found = (await client.jsm().stream_info(_STREAM)).state.messages
        if found != count:
            raise SystemExit(f"{count} messages went in, and {found} came back")

    try:
        server.start()
        environment["NATS_URL"] = server.url
        async with server.connect() as client:
            await _fill(client, count)
        yield Case(
            connection={
                "kind": "nats",
                "url": [server.url],
                "user": APP,
                "password_file": str(server.password_file(APP)),
            },
            options=NATSOptions(),
            target=target(),
            peer_name=f"{'nats-py' if program is None else 'nats stream backup'} | zstd | age | rclone",
            make_room=make_room,
            check_restored=check_restored,
            peer_backup=back_up,
            peer_restore=restore,
        )
    finally:
        server.kill()


async def _fill(client: Client, count: int) -> None:
    """Half of each message is random, half compresses well."""
    noise = random.Random(20261122)  # noqa: S311 - the same each time
    text = (b'{"country": "de", "state": "paid", "items": 3}' * 100)[: _MESSAGE_BYTES // 2]
    config = {"name": _STREAM, "subjects": ["bench.>"], "storage": "file"}
    await client.request(f"$JS.API.STREAM.CREATE.{_STREAM}", msgspec.json.encode(config), timeout=20)
    jetstream = client.jetstream()
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, count))
        bodies = [noise.randbytes(_MESSAGE_BYTES - len(text)) + text for _ in numbers]
        await asyncio.gather(
            *(jetstream.publish(f"bench.{number % 100}", body) for number, body in zip(numbers, bodies, strict=True))
        )
