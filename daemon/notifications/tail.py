"""The end of the events stream: what came after a place, in order."""

from __future__ import annotations

from typing import Final, NamedTuple

import structlog
from nats.aio.client import Client

from contracts.errors import StrongroomError
from contracts.events import Event, event_decoder
from contracts.subjects import EVENT_SUBJECTS, EVENTS_STREAM
from daemon.stream_pages import read_page

log = structlog.get_logger()

_BATCH: Final = 500


class Batch(NamedTuple):
    events: list[tuple[int, Event]]
    """With their sequences in the stream, oldest first."""
    until: int
    """Everything up to this sequence was read."""


async def read_after(client: Client, sequence: int) -> Batch:
    """The next few hundred events.  One that cannot be read, since a newer program wrote it, is passed over.

    Raises: Unavailable `bus.unavailable`.
    """
    page = await read_page(client, EVENTS_STREAM, EVENT_SUBJECTS, start=sequence + 1, batch=_BATCH)
    events: list[tuple[int, Event]] = []
    for number, data in page.messages:
        try:
            events.append((number, event_decoder.decode(data)))
        except StrongroomError as exc:
            log.warning("event.unreadable", sequence=number, reason=exc.message)
    return Batch(events, page.messages[-1].sequence if page.messages else sequence)
