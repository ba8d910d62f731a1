"""A stream on its way into its place, while others are at work in the same account."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from agents.drivers.nats import placing
from agents.drivers.nats.session import Session
from agents.drivers.nats.streams import delete_stream
from agents.drivers.nats.upload import make_stream
from contracts.errors import RunFailed
from tests.agents.drivers.nats.artifacts import replaced
from tests.agents.drivers.nats.content import api, stream_content, stream_names
from tests.agents.drivers.nats.engine import REPLACING, TARGET, NatsEngine
from tests.agents.drivers.nats.filling import make, publish_many
from tests.agents.drivers.playing import back_up, restore


@pytest.fixture
async def orders(host: NatsEngine) -> NatsEngine:
    """A server with one stream of 2 MB."""
    async with host.server.connect() as client:
        await make(client, "ORDERS", subjects=["orders.>"])
        await publish_many(client, "orders", 2_000_000, 20_000)
    return host


@asynccontextmanager
async def _publishing(client: Client, subject: str) -> AsyncIterator[None]:
    """As a busy application does that tries again and again while there is no stream."""

    wanted = True

    async def publish() -> None:
        while wanted:  # not cancelled: the library may swallow that
            with contextlib.suppress(NatsError, TimeoutError):
                await client.request(subject, b"of now", timeout=1)

    publishers = [asyncio.create_task(publish()) for _ in range(4)]
    try:
        yield
    finally:
        wanted = False
        await asyncio.gather(*publishers)


@pytest.mark.parametrize("target", [TARGET, REPLACING])
async def test_an_application_that_goes_on_publishing_does_not_spoil_a_restore(orders: NatsEngine, target: Any) -> None:
    backup = await back_up(orders.driver())
    async with orders.server.connect() as client:
        before = await stream_content(client, "ORDERS")
        if target is TARGET:
            await orders.wipe()
        async with _publishing(client, "orders.3"):
            await restore(orders.restoring_driver(), backup, target)
        after = await stream_content(client, "ORDERS")
    first, last, _ = before["range"]
    assert {key: value for key, value in after["messages"].items() if first <= key <= last} == before["messages"]
    assert after["config"] == before["config"]
    added = [key for key in after["messages"] if key > last]
    assert added == list(range(last + 1, after["range"][1] + 1))
    assert await orders.leftovers() == []


async def test_a_stream_that_somebody_makes_in_the_last_moment_stays(
    orders: NatsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Applications make their streams themselves when they find none, at any time."""
    backup = await back_up(orders.driver())
    await orders.wipe()

    async def made_by_the_application(*arguments: Any) -> list[str]:
        async with orders.server.connect() as client:
            await make(client, "ORDERS", subjects=["orders.>"])
            await client.jetstream().publish("orders.1", b"theirs")
        return await make_stream(*arguments)

    monkeypatch.setattr(placing, "make_stream", made_by_the_application)
    with pytest.raises(RunFailed) as caught:
        await restore(orders.restoring_driver(), backup, TARGET)
    assert caught.value.code == "restore.failed"
    async with orders.server.connect() as client:
        assert (await stream_content(client, "ORDERS"))["range"] == (1, 1, 1)


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_stream_comes_back_when_the_answer_to_its_deletion_is_lost(
    orders: NatsEngine, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    backup = replaced(await back_up(orders.driver()), "ORDERS", push_consumers=1)  # no proof is made
    async with orders.server.connect() as client:
        await client.jetstream().publish("orders.9", b"since then")
        before = await stream_content(client, "ORDERS")

        async def unheard(session: Session, name: str) -> bool:
            monkeypatch.undo()
            if deleted:
                await delete_stream(session, name)
            raise RunFailed("engine.unreachable", "the NATS server closed the connection")

        monkeypatch.setattr(placing, "delete_stream", unheard)
        with pytest.raises(RunFailed) as caught:
            await restore(orders.restoring_driver(), backup, REPLACING)
        assert caught.value.code == "engine.unreachable"
        assert await stream_names(client) == ["ORDERS"]
        assert await stream_content(client, "ORDERS") == before
        assert (await api(client, "STREAM.INFO.ORDERS"))["state"]["messages"] == 101
    assert await orders.leftovers() == []
