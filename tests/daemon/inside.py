"""What only the coordinator sees: its records, and every write of one of them, for tests that look or lay a hand on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.records import UsageRecord
from contracts.subjects import USAGE_BUCKET
from contracts.wire import Decoder, utc_now
from daemon.catalog.catalog import Catalog
from daemon.retention import Retention
from daemon.runs.deletions import Deletions
from daemon.runs.events import EventPublisher
from daemon.runs.runs import Runs
from daemon.settings import CoordinatorSettings
from daemon.store.s3 import open_store
from tests.servers.nats import NatsServer, settle


@asynccontextmanager
async def catalog_of(nats_server: NatsServer) -> AsyncIterator[Catalog]:
    """The records themselves, with a coordinator's rights."""
    async with nats_server.connect_coordinator() as client:
        yield Catalog(client, client.jetstream(timeout=5))


@asynccontextmanager
async def parts_of(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> AsyncIterator[tuple[Runs, Deletions, Retention]]:
    """Parts of one more coordinator, whose loops do not run: for a test that stops one of them in the middle."""
    async with nats_server.connect_coordinator() as client, open_store(settings.store) as store:
        js = client.jetstream(timeout=5)
        runs = Runs(Catalog(client, js), store, EventPublisher(js), js, max_attempts=3, now=utc_now)
        deletions = Deletions(runs)
        yield runs, deletions, Retention(runs, deletions)


@asynccontextmanager
async def usage_writes(nats_server: NatsServer) -> AsyncIterator[list[UsageRecord]]:
    """Every state of a usage record that any coordinator writes, or tries to before somebody else was quicker.

    Complete when the block is left.
    """
    decoder: Decoder[UsageRecord] = Decoder(UsageRecord)
    written: list[UsageRecord] = []

    async def take(message: Msg) -> None:
        if message.data:
            written.append(decoder.decode(message.data))

    async with nats_server.connect_coordinator() as client:
        await client.subscribe(f"$KV.{USAGE_BUCKET}.>", cb=take)
        await settle(client)
        yield written
        await _drain(client)


async def _drain(client: Client) -> None:
    """Returns when everything that was published so far has been taken."""
    await settle(client)
    await client.drain()
