"""Pages of a stream, the newest first, without a consumer: JetStream counts what is stored after a place, and reads from it.

The page before a place is found by going back in growing steps until enough matches lie between, and then by halving the
last step.  Each question costs the server what one message costs it, however long the stream is.
Source: NATS ADR-31 (direct get, `batch` with `next_by_subj`); measured on nats-server 2.15.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from contracts.bus import patiently
from contracts.errors import Unavailable

_ANSWER_S: Final = 5
_GROWTH: Final = 8
_TOLERATED: Final = 4
"""So many times a page is read rather than halved once more."""


class Raw(NamedTuple):
    sequence: int
    data: bytes


async def last_sequence(client: Client, stream: str) -> int:
    """Of the newest message; 0 where there never was one.  Raises: Unavailable `bus.unavailable`."""
    js = client.jetstream(timeout=_ANSWER_S)
    try:
        return (await patiently(lambda: js.stream_info(stream), f"look at {stream}")).state.last_seq
    except NotFoundError as exc:
        raise Unavailable(
            "bus.unavailable", f"there is no stream {stream} on this NATS server: has a coordinator ever run on it?"
        ) from exc


async def newest_before(client: Client, stream: str, subjects: Sequence[str], before: int | None, limit: int) -> list[Raw]:
    """The newest `limit` messages below any of these subjects whose sequence is less than `before`, the newest first.

    No subject may cover another; None: the newest of all.  Raises: Unavailable `bus.unavailable`.
    """
    end = await last_sequence(client, stream) + 1
    before = end if before is None else min(before, end)
    found: list[Raw] = []
    for subject in subjects:
        found += await _newest_of(client, stream, subject, before, limit)
    found.sort(key=lambda raw: raw.sequence, reverse=True)
    return found[:limit]


async def _newest_of(client: Client, stream: str, subject: str, before: int, limit: int) -> list[Raw]:
    behind = await _count_from(client, stream, subject, before)

    async def count(start: int) -> int:
        return await _count_from(client, stream, subject, start) - behind

    step, start = limit, max(1, before - limit)
    too_late = before
    """Between here and `before` there are too few."""
    while (between := await count(start)) < limit and start > 1:
        too_late = start
        step *= _GROWTH
        start = max(1, before - step)
    while between > limit * _TOLERATED and too_late - start > 1:
        middle = (start + too_late) // 2
        if (there := await count(middle)) < limit:
            too_late = middle
        else:
            start, between = middle, there
    if between <= 0:
        return []
    return (await _read(client, stream, subject, start, before))[-limit:]


async def _count_from(client: Client, stream: str, subject: str, start: int) -> int:
    """How many messages of the subject are stored at or after a sequence."""
    page, left = await _page(client, stream, subject, start, 1)
    return left + len(page)


async def _read(client: Client, stream: str, subject: str, start: int, before: int) -> list[Raw]:
    """All messages of the subject from `start` on, before `before`."""
    found: list[Raw] = []
    while start < before:
        page, left = await _page(client, stream, subject, start, 256)
        found += [raw for raw in page if raw.sequence < before]
        if not page or not left:
            break
        start = page[-1].sequence + 1
    return found


async def _page(client: Client, stream: str, subject: str, start: int, batch: int) -> tuple[list[Raw], int]:
    """Up to `batch` messages at or after a sequence, and how many come after them."""
    request = msgspec.json.encode({"seq": max(1, start), "next_by_subj": subject, "batch": batch})

    async def ask() -> tuple[list[Raw], int]:
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, pending_bytes_limit=0)
        try:
            await client.publish(f"$JS.API.DIRECT.GET.{stream}", request, reply=inbox)
            found: list[Raw] = []
            while True:
                message = await subscription.next_msg(timeout=_ANSWER_S)
                headers = message.headers or {}
                status = headers.get("Status")
                if status == "404":
                    return [], 0
                if status == "204":
                    return found, int(headers.get("Nats-Num-Pending", 0))
                if status is not None:
                    raise Unavailable("bus.unavailable", f"the stream {stream} cannot be read: status {status}")
                found.append(Raw(int(headers["Nats-Sequence"]), message.data))
        finally:
            await subscription.unsubscribe()

    try:
        return await patiently(ask, f"read {stream}")
    except NatsError as exc:
        raise Unavailable("bus.unavailable", f"the connection to the NATS server broke: {exc}") from exc
