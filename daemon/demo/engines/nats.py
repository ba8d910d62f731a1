"""The demo with NATS: streams, a KV bucket and an object bucket of a small shop, on a nats-server of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, KeyValueConfig, StreamConfig

from contracts.errors import RunFailed
from contracts.records import ArtifactRecord
from contracts.services import NATSOptions, ServiceOptions
from daemon.demo.engines.base import Opener, Room, Tell
from daemon.demo.snapshot import DatabaseSnapshot, TableContent
from daemon.embedded.binaries import NATS_SERVER, find_program
from daemon.embedded.children import Child, ChildSpec
from daemon.embedded.errors import ProgramMissing
from daemon.embedded.ports import LOOPBACK, start_with_free_ports
from daemon.embedded.private_files import make_private_dir, write_private

_USER: Final = "strongroom"
_SEED: Final = 20261122
_ORDER_BYTES: Final = 4000
"""Of random bytes in an order; the rest of a message is some 100 bytes more."""
_AROUND_BYTES: Final = 100
_PICTURE_BYTES: Final = 256 * 1024
_BATCH: Final = 200
_TIMEOUT_S: Final = 30.0
_COUNTRIES: Final = ("de", "fr", "it", "pl", "se")


class NatsEngine:
    """See `daemon.demo.engines.base.DemoEngine`."""

    kind = "nats"
    title = "a NATS server"
    data_title = "the streams and buckets of a small shop"

    def check(self) -> None:
        """Raises: RunFailed `engine.tool_missing`."""
        try:
            find_program(NATS_SERVER)
        except ProgramMissing as exc:
            raise RunFailed("engine.tool_missing", f"the demo of NATS needs nats-server: {exc.message}") from exc
        if shutil.which("tar") is None:
            raise RunFailed("engine.tool_missing", "the demo of NATS needs tar, which is not installed: apt-get install tar")

    @asynccontextmanager
    async def running(self, folder: Path) -> AsyncIterator[NatsDemo]:
        """Raises: Unavailable `engine.unreachable` with the server's own words."""
        make_private_dir(folder)
        password = secrets.token_urlsafe(24)
        port, child = await start_with_free_ports(1, lambda ports: _start(folder, ports[0], password))
        try:
            client = await nats.connect(f"nats://{LOOPBACK}:{port}", user=_USER, password=password, name="strongroom demo")
            try:
                yield NatsDemo(folder, port, client)
            finally:
                await client.close()
        finally:
            await child.stop()


class NatsDemo:
    """See `daemon.demo.engines.base.DemoServer`."""

    options: ServiceOptions = NATSOptions()

    def __init__(self, folder: Path, port: int, client: Client) -> None:
        self.place = f"{LOOPBACK}:{port}"
        self._folder = folder
        self._client = client
        self.connection: Mapping[str, Any] = {
            "kind": NatsEngine.kind,
            "url": [f"nats://{self.place}"],
            "user": _USER,
            "password_file": str(folder / "password"),
        }

    async def fill(self, size_bytes: int, tell: Tell) -> int:
        noise = random.Random(_SEED)  # noqa: S311  the same ones each time
        made = await self._fill_orders(noise, size_bytes * 6 // 10, tell)
        made = await self._fill_stock(noise, size_bytes // 10, made, tell)
        await self._fill_pictures(noise, size_bytes - made, made, tell)
        return await asyncio.to_thread(_bytes_in, self._folder / "jetstream")

    async def snapshot(self) -> DatabaseSnapshot:
        return await _snapshot(self._client)

    async def make_room(self) -> Room:
        manager = self._client.jsm()
        for info in await manager.streams_info():
            await manager.delete_stream(str(info.config.name))
        return Room(words="into the account, which was emptied before")

    async def snapshot_restored(self) -> DatabaseSnapshot:
        return await _snapshot(self._client)

    def choose(self, artifacts: Sequence[ArtifactRecord]) -> ArtifactRecord:
        return next((artifact for artifact in artifacts if artifact.name == "ORDERS"), artifacts[0])

    def opener(self, artifact: ArtifactRecord) -> Opener:
        del artifact
        argv = ["tar", "-x", "-O", "-f", "-", "backup.json"]
        return Opener(argv=argv, command="tar -xO backup.json", magic=b"backup.json", describe=_describe)

    async def _fill_orders(self, noise: random.Random, size_bytes: int, tell: Tell) -> int:
        """A stream with headers, holes, and a consumer that has done a part of its work."""
        jetstream = self._client.jetstream()
        await jetstream.add_stream(StreamConfig(name="ORDERS", subjects=["orders.>"], description="of the shop"))
        count = max(10, size_bytes // (_ORDER_BYTES + _AROUND_BYTES))
        made = 0
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            orders = [(f"orders.{noise.choice(_COUNTRIES)}.new", noise.randbytes(_ORDER_BYTES)) for _ in numbers]
            await asyncio.gather(
                *(
                    jetstream.publish(subject, data, timeout=_TIMEOUT_S, headers={"Order": str(number)})
                    for number, (subject, data) in zip(numbers, orders, strict=True)
                )
            )
            made += len(orders) * (_ORDER_BYTES + _AROUND_BYTES)
            tell(made)
        for sequence in range(3, count, 97):
            await self._client.jsm().delete_msg("ORDERS", sequence)
        billing = ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=3600)
        subscription = await jetstream.pull_subscribe("orders.de.>", durable="billing", stream="ORDERS", config=billing)
        for message in (await subscription.fetch(1, timeout=_TIMEOUT_S))[:1]:
            await message.ack_sync()
        return made

    async def _fill_stock(self, noise: random.Random, size_bytes: int, made: int, tell: Tell) -> int:
        bucket = await self._client.jetstream().create_key_value(KeyValueConfig(bucket="stock", history=3))
        for number in range(max(10, size_bytes // (_ORDER_BYTES + _AROUND_BYTES))):
            await bucket.put(f"product.{number // 2}", noise.randbytes(_ORDER_BYTES))
            made += _ORDER_BYTES + _AROUND_BYTES
        await bucket.delete("product.1")
        tell(made)
        return made

    async def _fill_pictures(self, noise: random.Random, size_bytes: int, made: int, tell: Tell) -> None:
        store = await self._client.jetstream().create_object_store("pictures")
        for number in range(max(1, size_bytes // _PICTURE_BYTES)):
            await store.put(f"product {number}.jpg", noise.randbytes(_PICTURE_BYTES))
            made += _PICTURE_BYTES
            tell(made)


async def _start(folder: Path, port: int, password: str) -> tuple[int, Child]:
    write_private(folder / "password", password)
    settings = {
        "server_name": "strongroom-demo",
        "host": LOOPBACK,
        "port": port,
        "authorization": {"user": _USER, "password": password},
        "jetstream": {"store_dir": str(folder / "jetstream")},
    }
    config = folder / "nats.conf"
    write_private(config, json.dumps(settings))  # the configuration language takes JSON

    async def ready() -> bool:
        return await asyncio.to_thread(_answers, port)

    argv = [str(find_program(NATS_SERVER)), "-c", str(config)]
    child = Child(ChildSpec(name="nats-server", argv=argv, directory=folder, ready=ready, error_code="engine.unreachable"))
    await child.start()
    return port, child


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((LOOPBACK, port), timeout=2) as connection, connection.makefile("rb") as stream:
            greeting = stream.readline()
    except OSError:
        return False
    return greeting.startswith(b"INFO ") and bool(json.loads(greeting[5:]).get("jetstream"))


async def _snapshot(client: Client) -> DatabaseSnapshot:
    """Streams by their messages with sequence, time, subject and headers; configurations and consumers as objects."""
    manager = client.jsm()
    tables: dict[str, TableContent] = {}
    configs: dict[str, str] = {}
    consumers: dict[str, str] = {}
    for info in sorted(await manager.streams_info(), key=lambda each: str(each.config.name)):
        name = str(info.config.name)
        plain = {key: value for key, value in info.config.as_dict().items() if key != "metadata"}
        configs[name] = json.dumps(plain, sort_keys=True, default=str)
        for consumer in await manager.consumers_info(name):
            places = [consumer.delivered, consumer.ack_floor]
            where = [(place.consumer_seq, place.stream_seq) for place in places if place is not None]
            consumers[f"{name}/{consumer.name}"] = f"{where} {consumer.num_ack_pending} {consumer.num_pending}"
        tables[name] = await _content(client, name, info.state.messages)
    return DatabaseSnapshot(tables=tables, objects={"stream": configs, "consumer": consumers})


async def _content(client: Client, stream: str, count: int) -> TableContent:
    digest = hashlib.sha256()
    config = ConsumerConfig(ack_policy=AckPolicy.NONE, mem_storage=True, inactive_threshold=60)
    reading = await client.jetstream().pull_subscribe(">", stream=stream, config=config)
    seen = 0
    try:
        while seen < count:
            for message in await reading.fetch(min(_BATCH, count - seen), timeout=_TIMEOUT_S):
                headers = json.dumps(message.headers, sort_keys=True)
                where = f"{message.metadata.sequence.stream} {message.metadata.timestamp} {message.subject} {headers} "
                digest.update(f"{where}{len(message.data)}\0".encode())
                digest.update(message.data)
                seen += 1
    finally:
        name = (await reading.consumer_info()).name
        await reading.unsubscribe()
        await client.jsm().delete_consumer(stream, name)
    return TableContent(rows=seen, content_sum=digest.hexdigest())


def _describe(output: bytes) -> str:
    described = json.loads(output)
    state = described["state"]
    consumers = f"{state['consumer_count']} consumer{'' if state['consumer_count'] == 1 else 's'}"
    return f"stream {described['config']['name']}: {state['messages']:,} messages and {consumers}"


def _bytes_in(directory: Path) -> int:
    return sum((Path(folder) / file).stat().st_blocks * 512 for folder, _, files in os.walk(directory) for file in files)
