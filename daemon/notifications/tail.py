"""The end of the events stream: what came after a place, in order, without a consumer that the server would have to keep."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.bus import patiently
from contracts.errors import StrongroomError, Unavailable
from contracts.events import Event, event_decoder
from contracts.subjects import EVENT_SUBJECTS, EVENTS_STREAM

log = structlog.get_logger()

_BATCH: Final = 500
_ANSWER_S: Final = 5


class Batch(NamedTuple):
    events: list[tuple[int, Event]]
    """With their sequences in the stream, oldest first."""
    until: int
    """Everything up to this sequence was read."""


async def read_after(client: Client, sequence: int) -> Batch:
    """The next few hundred events.  One that cannot be read, since a newer program wrote it, is passed over.

    Raises: Unavailable `bus.unavailable`.
    """
    request = msgspec.json.encode({"seq": sequence + 1, "next_by_subj": EVENT_SUBJECTS, "batch": _BATCH})

    async def ask() -> list[tuple[int, bytes]]:
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, pending_bytes_limit=0)
        try:
            await client.publish(f"$JS.API.DIRECT.GET.{EVENTS_STREAM}", request, reply=inbox)
            found: list[tuple[int, bytes]] = []
            while True:
                message = await subscription.next_msg(timeout=_ANSWER_S)
                headers = message.headers or {}
                status = headers.get("Status")
                if status in ("204", "404"):
                    return found
                if status is not None:
                    raise Unavailable("bus.unavailable", f"the events cannot be read: status {status}")
                found.append((int(headers["Nats-Sequence"]), message.data))
        finally:
            await subscription.unsubscribe()

    try:
        raw = await patiently(ask, "read events")
    except NatsError as exc:
        raise Unavailable("bus.unavailable", f"the connection to the NATS server broke: {exc}") from exc
    events: list[tuple[int, Event]] = []
    for number, data in raw:
        try:
            events.append((number, event_decoder.decode(data)))
        except StrongroomError as exc:
            log.warning("event.unreadable", sequence=number, reason=exc.message)
    return Batch(events, raw[-1][0] if raw else sequence)
