"""What happened and what happens: events, log lines and progress, as they come and as they are kept.

Every iterator ends what it holds on the server when it is closed: use `contextlib.aclosing`.  Those without an end outlive
restarts of the NATS servers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final, TypeVar

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from contracts.errors import InvalidInput, StrongroomError
from contracts.events import Event, event_decoder
from contracts.ids import check_run_id, check_slug
from contracts.reports import LogLine, Progress, log_decoder, progress_decoder
from contracts.subjects import EVENTS_STREAM, LOGS_STREAM, progress_subject
from contracts.wire import Decoder
from daemon.filters import EventFilter, LogFilter
from daemon.news import Numbered
from daemon.stream_pages import last_sequence, newest_before
from daemon.stream_reader import StreamReader

T = TypeVar("T")

__all__ = ["MOST_PAGE", "EventFilter", "HistoryPage", "LogFilter", "Numbered", "events", "history", "log_lines", "progress"]

MOST_PAGE: Final = 1_000
_ANSWER_S: Final = 5


class HistoryPage(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first."""

    events: list[Numbered[Event]]
    next_before: int = 0
    """Where the page that follows begins; 0 on the last."""


async def events(
    client: Client,
    wanted: EventFilter,
    *,
    after_sequence: int | None = None,
    since: datetime | None = None,
    follow: bool = True,
) -> AsyncGenerator[Numbered[Event], None]:
    """Events as they happen, without an end; those stored before too, after a sequence or since a time, if one is given.

    With `follow=False`, only those that are stored now.  Raises: InvalidInput for a filter that makes no sense,
    Unavailable (only without `follow`).
    """
    reader = await _reader(client, EVENTS_STREAM, wanted.subjects(), event_decoder, after_sequence, since)
    async with aclosing(reader.following() if follow else reader.stored()) as found:
        async for event in found:
            yield event


async def log_lines(
    client: Client,
    wanted: LogFilter,
    *,
    after_sequence: int | None = None,
    since: datetime | None = None,
    last: int | None = None,
    follow: bool = True,
) -> AsyncGenerator[Numbered[LogLine], None]:
    """Log lines of jobs: those that are kept (30 days), all of them or from one of the three places on, and those that come.

    `last`: with the newest so many.  With `follow=False`, only those that are stored now.  Raises: as `events`.
    """
    subjects = wanted.subjects()
    if after_sequence is None and since is None:
        after_sequence = 0
        if last is not None:
            kept = await newest_before(client, LOGS_STREAM, subjects, None, last) if last else []
            after_sequence = kept[-1].sequence - 1 if kept else None
    reader = await _reader(client, LOGS_STREAM, subjects, log_decoder, after_sequence, since)
    async with aclosing(reader.following() if follow else reader.stored()) as found:
        async for line in found:
            yield line


async def progress(client: Client, project: str, service: str, run_id: str) -> AsyncGenerator[Progress, None]:
    """Of one run, about once a second while it works, without an end.

    Only what is said from now on, and of what nobody took in time the newest only.  Raises: InvalidInput.
    """
    subject = progress_subject(check_slug(project, "project"), check_slug(service, "service"), check_run_id(run_id, "id"))
    newest: list[Progress] = []
    came = asyncio.Event()

    async def hear(message: Msg) -> None:
        try:
            newest[:] = [progress_decoder.decode(message.data)]
        except StrongroomError:
            return
        came.set()

    subscription = await client.subscribe(subject, cb=hear)
    try:
        while True:
            await came.wait()
            came.clear()
            yield newest[0]
    finally:
        with contextlib.suppress(NatsError):  # the connection is closed: nothing is left of it
            await subscription.unsubscribe()


async def history(
    client: Client, wanted: EventFilter, *, before_sequence: int | None = None, limit: int = 100
) -> HistoryPage:
    """A page of events, the newest first: those before a sequence, or the newest of all.  At most MOST_PAGE.

    Raises: InvalidInput, Unavailable.
    """
    if not 1 <= limit <= MOST_PAGE:
        raise InvalidInput("input.invalid", f"limit must be from 1 to {MOST_PAGE}", field="limit")
    found = await newest_before(client, EVENTS_STREAM, wanted.subjects(), before_sequence, limit + 1)
    page = found[:limit]
    more = page[-1].sequence if len(found) > limit else 0
    return HistoryPage(events=_decoded([(raw.sequence, raw.data) for raw in page]), next_before=more)


def _decoded(raws: Sequence[tuple[int, bytes]]) -> list[Numbered[Event]]:
    """Without those of a newer coordinator, in a shape that this program does not know."""
    found = []
    for sequence, data in raws:
        try:
            found.append(Numbered(sequence, event_decoder.decode(data)))
        except StrongroomError:
            continue
    return found


async def _reader(
    client: Client,
    stream: str,
    subjects: Sequence[str],
    decoder: Decoder[T],
    after: int | None,
    since: datetime | None,
) -> StreamReader[T]:
    js = client.jetstream(timeout=_ANSWER_S)
    if since is not None and after is None:
        return StreamReader(js, stream, subjects, decoder.decode, since=since)
    if after != 0:
        newest = await last_sequence(client, stream)
        # A place beyond the end is one of a stream that was made anew: whoever named it would wait for years.
        after = newest if after is None or after > newest else after
    return StreamReader(js, stream, subjects, decoder.decode, after=after)
