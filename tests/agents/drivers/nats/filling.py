"""An account with one of everything that JetStream can hold."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
from typing import Final

from nats.aio.client import Client
from nats.js.api import KeyValueConfig

from tests.agents.drivers.nats.content import api
from tests.servers.waiting import eventually

LARGE: Final = "LARGE"
LARGE_BYTES: Final = 32 * 1024 * 1024
"""More than what is on its way at once, and waits in our memory: some 8 MiB each."""
ODD_NAMES: Final = ("ä-ö\"x'y$z", "e😀", "-dash", "a:b;c|d&e")
"""What NATS allows; blanks, dots, wildcards and slashes it does not."""
_HOUR_NS: Final = 3600 * 10**9


async def fill(client: Client, *, large_bytes: int = LARGE_BYTES) -> None:
    """Random payloads, the same ones each time; nothing in it changes by itself within an hour."""
    noise = random.Random(4)  # noqa: S311  made-up data, nothing secret
    await _orders(client, noise)
    await _work_queue(client)
    await _interest(client)
    await _buckets(client, noise)
    await _odds(client, noise)
    await _feds(client)
    await make(client, LARGE, subjects=["large.>"])
    await publish_many(client, "large", large_bytes, 256 * 1024)


async def make(client: Client, name: str, **config: object) -> None:
    await api(client, f"STREAM.CREATE.{name}", {"name": name, "storage": "file", **config})


async def publish_many(client: Client, prefix: str, size_bytes: int, each_bytes: int) -> None:
    """Messages of random bytes, some hundred at once."""
    jetstream = client.jetstream()
    count = size_bytes // each_bytes
    for start in range(0, count, 64):
        numbers = range(start, min(start + 64, count))
        await asyncio.gather(*(jetstream.publish(f"{prefix}.{number % 7}", os.urandom(each_bytes)) for number in numbers))


async def _orders(client: Client, noise: random.Random) -> None:
    """Limits, headers, holes, a durable consumer in the middle of it and one that nobody will come back to."""
    jetstream = client.jetstream()
    await make(
        client, "ORDERS", subjects=["orders.>"], max_age=72 * _HOUR_NS, description="of the shop", metadata={"team": "a"}
    )
    for number in range(60):
        headers = {"Nats-Msg-Id": f"m{number}", "X-Note": f"größe {number}"} if number % 3 == 0 else None
        await jetstream.publish(f"orders.{number % 5}.new", noise.randbytes(number * 11), headers=headers)
    for sequence in (7, 8, 9, 30, 60):
        await api(client, "STREAM.MSG.DELETE.ORDERS", {"seq": sequence})
    config = {"durable_name": "billing", "ack_policy": "explicit", "ack_wait": _HOUR_NS, "filter_subject": "orders.1.new"}
    await api(client, "CONSUMER.DURABLE.CREATE.ORDERS.billing", {"stream_name": "ORDERS", "config": config})
    taking = await jetstream.pull_subscribe_bind("billing", stream="ORDERS")
    for number, message in enumerate(await taking.fetch(5)):
        if number in (0, 1, 3):
            await message.ack_sync()
    passing = {"name": "passing", "ack_policy": "none", "inactive_threshold": _HOUR_NS, "deliver_policy": "last"}
    await api(client, "CONSUMER.CREATE.ORDERS.passing", {"stream_name": "ORDERS", "config": passing})
    pushing = {
        "durable_name": "pushing",
        "ack_policy": "none",
        "deliver_subject": "push.orders",
        "filter_subject": "orders.4.new",
    }
    await make(client, "PUSHED", subjects=["pushed.>"])
    await jetstream.publish("pushed.1", b"to be sent")
    await api(client, "CONSUMER.DURABLE.CREATE.PUSHED.pushing", {"stream_name": "PUSHED", "config": pushing})


async def _work_queue(client: Client) -> None:
    """Jobs done, jobs in somebody's hands, jobs waiting."""
    jetstream = client.jetstream()
    await make(client, "WORK", subjects=["work.*"], retention="workqueue")
    config = {"durable_name": "worker", "ack_policy": "explicit", "ack_wait": _HOUR_NS, "filter_subject": "work.a"}
    await api(client, "CONSUMER.DURABLE.CREATE.WORK.worker", {"stream_name": "WORK", "config": config})
    for number in range(20):
        await jetstream.publish(f"work.{'ab'[number % 2]}", f"job {number}".encode())
    taking = await jetstream.pull_subscribe_bind("worker", stream="WORK")
    first, *_ = await taking.fetch(4)
    await first.ack_sync()


async def _interest(client: Client) -> None:
    jetstream = client.jetstream()
    await make(client, "INTEREST", subjects=["interest.>"], retention="interest")
    config = {"durable_name": "reader", "ack_policy": "explicit", "ack_wait": _HOUR_NS}
    await api(client, "CONSUMER.DURABLE.CREATE.INTEREST.reader", {"stream_name": "INTEREST", "config": config})
    for number in range(6):
        await jetstream.publish(f"interest.{number}", b"news")


async def _buckets(client: Client, noise: random.Random) -> None:
    jetstream = client.jetstream()
    bucket = await jetstream.create_key_value(KeyValueConfig(bucket="settings", history=3, direct=True))
    for number in range(12):
        await bucket.put(f"key.{number % 4}", f"value {number}".encode())
    await bucket.delete("key.1")
    await bucket.purge("key.2")
    lasting = await jetstream.create_key_value(KeyValueConfig(bucket="leases", direct=True, limit_marker_ttl=7200))
    await lasting.create("held", b"by a node", msg_ttl=7200)
    await lasting.put("for-ever", b"x")
    store = await jetstream.create_object_store("files")
    await store.put("picture.bin", noise.randbytes(300_000))
    await store.put("ein Bild ä.txt", b"small")


async def _odds(client: Client, noise: random.Random) -> None:
    jetstream = client.jetstream()
    await make(client, "EMPTY", subjects=["empty"])
    await make(client, "EMPTIED", subjects=["emptied"])
    for _ in range(3):
        await jetstream.publish("emptied", b"gone")
    await api(client, "STREAM.PURGE.EMPTIED")
    for number, name in enumerate(ODD_NAMES):
        await make(client, name, subjects=[f"odd.{number}.>"])
        await jetstream.publish(f"odd.{number}.ä ö".replace(" ", "_"), noise.randbytes(100))
    await make(client, "MEMORY", subjects=["memory.>"], storage="memory")
    for number in range(5):
        await jetstream.publish(f"memory.{number}", noise.randbytes(1000))
    await make(client, "COMPRESSED", subjects=["compressed"], compression="s2", max_msgs_per_subject=4, discard="new")
    await jetstream.publish("compressed", b"a" * 10_000)
    await make(client, "SEALED", subjects=["sealed"])
    await jetstream.publish("sealed", b"for good")
    config = (await api(client, "STREAM.INFO.SEALED"))["config"]
    await api(client, "STREAM.UPDATE.SEALED", {**config, "sealed": True})


async def _feds(client: Client) -> None:
    await make(client, "A_MIRROR", mirror={"name": "ORDERS"})
    await make(client, "A_SUM", sources=[{"name": "ORDERS", "filter_subject": "orders.2.>"}, {"name": "WORKS"}])
    orders = (await api(client, "STREAM.INFO.ORDERS"))["state"]
    wanted = {"A_MIRROR": orders["messages"], "A_SUM": 12 - 1}

    async def have_all() -> bool:
        return {name: (await api(client, f"STREAM.INFO.{name}"))["state"]["messages"] for name in wanted} == wanted

    await eventually(have_all)


async def wipe(client: Client) -> None:
    names = (await api(client, "STREAM.NAMES"))["streams"] or []
    for name in sorted(names, key=lambda each: not each.startswith("A_")):
        with contextlib.suppress(TimeoutError):
            await api(client, f"STREAM.DELETE.{name}")
