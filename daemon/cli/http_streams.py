"""Reading a stream of server-sent events to its end, however often the connection breaks."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
import msgspec
from yarl import URL

from contracts.errors import Unavailable
from daemon.cli.http_failures import CONNECTION_ERRORS, not_a_coordinator, not_reached, refusal
from daemon.sse import END, MEDIA_TYPE, EndReason, Frame, FrameDecoder, end_decoder

SILENCE_S: Final = 40.0
"""Longer than the coordinator is ever silent: the connection is dead."""
_CONNECT_S: Final = 10.0
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 5.0
_BEGINNINGS: Final = frozenset({"since", "after", "last"})
"""Parameters that say where a stream begins."""


class Lost(msgspec.Struct, frozen=True):
    """The stream broke off; it is being connected to again."""

    reason: str


class _Broken(Exception):
    """The stream broke off after it had begun, or the coordinator stops."""


async def frames(
    http: aiohttp.ClientSession, where: str, url: URL, headers: Mapping[str, str]
) -> AsyncGenerator[Frame | Lost, None]:
    """All frames but the last, each once; `where` names the coordinator in messages.

    Where the stream breaks off it goes on after the last id.  Raises: StrongroomError when it cannot be had at all, or ends
    with an error: what no waiting mends.
    """
    place = _Place()
    tries = 0
    while True:
        try:
            async with aclosing(_one_answer(http, where, place.url(url), headers, place)) as found:
                async for frame in found:
                    tries = 0
                    yield frame
            return
        except (_Broken, Unavailable) as exc:
            if not place.has_begun:
                raise
            yield Lost(exc.message if isinstance(exc, Unavailable) else str(exc))
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0**tries)
        tries += 1
        await asyncio.sleep(longest_s / 2 + random.random() * longest_s / 2)  # noqa: S311 - so that many do not return at once


class _Place:
    """How far the stream was read."""

    def __init__(self) -> None:
        self.last_id = ""
        self.has_begun = False
        self._began_at: datetime | None = None

    def begin(self, answer: aiohttp.ClientResponse) -> None:
        if not self.has_begun:
            self.has_begun = True
            with contextlib.suppress(ValueError):
                self._began_at = parsedate_to_datetime(answer.headers.get("Date", ""))

    def url(self, url: URL) -> URL:
        """Of a stream of what happens from now on, and nothing has yet: from when it began, by the coordinator's clock."""
        if self.last_id or self._began_at is None or url.name != "events" or not _BEGINNINGS.isdisjoint(url.query):
            return url
        return url.update_query(since=self._began_at.isoformat())


async def _one_answer(
    http: aiohttp.ClientSession, where: str, url: URL, headers: Mapping[str, str], place: _Place
) -> AsyncGenerator[Frame, None]:
    """Returns after the last frame.  Raises: _Broken, Unavailable, and StrongroomError that no waiting mends."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=SILENCE_S)
    asked = {**headers, "Accept": MEDIA_TYPE} | ({"Last-Event-ID": place.last_id} if place.last_id else {})
    decoder = FrameDecoder()
    try:
        async with http.get(url, headers=asked, timeout=timeout, allow_redirects=False) as answer:
            if answer.status != 200:
                raise refusal(where, answer.status, answer.content_type, await answer.read())
            if answer.content_type != MEDIA_TYPE:
                raise not_a_coordinator(where)
            place.begin(answer)
            while data := await answer.content.readany():
                for frame in decoder.feed(data):
                    if frame.event == END:
                        _end(frame)
                        return
                    place.last_id = frame.id or place.last_id
                    yield frame
    except CONNECTION_ERRORS as exc:
        raise not_reached(where, exc) from exc
    raise _Broken(f"the stream from {where} broke off")


def _end(frame: Frame) -> None:
    """Returns where all is said.  Raises: _Broken where it goes on elsewhere, the error of the stream."""
    end = end_decoder.decode(frame.data.encode())
    if (error := end.error) is not None:
        raise error
    if end.reason in (EndReason.STOPPING, EndReason.SLOW):
        raise _Broken(end.message)
