"""What happens, as it happens, for pages that are open: which part of the page to ask for again, and how far runs are.

One subscription of this process serves all browsers.  A feed says what changed, not what it changed to: the page then asks
for its parts, which are made for who looks at them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final, TypeAlias

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from contracts.errors import StrongroomError
from contracts.events import Event, event_decoder
from contracts.reports import Progress, progress_decoder
from contracts.subjects import EVENT_SUBJECTS, EVENTS_STREAM
from contracts.wire import encode
from daemon.http.backend import Backend
from daemon.http.event_stream import EventStream
from daemon.sse import Frame
from daemon.stream_pages import last_sequence
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest

PROGRESS_SUBJECTS: Final = "strongroom.progress.>"
_WAITING: Final = 200
"""Messages that one browser may be behind; then its feed ends, and it comes again and looks at everything."""


class Change(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That something happened; nothing else of it."""

    type: str
    project: str = ""
    service: str = ""
    id: str = ""
    """Of the backup or restore."""


_News: TypeAlias = "asyncio.Queue[Change | Progress | None]"


class Feed:
    """Passes events and progress on to all who listen.  Nothing is subscribed to while nobody does."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._listeners: set[_News] = set()
        self._subscriptions: list[Subscription] = []
        self._lock = asyncio.Lock()

    async def listen(self) -> _News:
        """A queue of what happens from now on; None at its end."""
        queue: _News = asyncio.Queue()
        self._listeners.add(queue)
        async with self._lock:
            if not self._subscriptions:
                self._subscriptions = [
                    await self._client.subscribe(EVENT_SUBJECTS, cb=self._event),
                    await self._client.subscribe(PROGRESS_SUBJECTS, cb=self._progress),
                ]
                await self._client.flush()
        return queue

    async def leave(self, queue: _News) -> None:
        self._listeners.discard(queue)
        async with self._lock:
            if self._listeners:
                return
            gone, self._subscriptions = self._subscriptions, []
            for subscription in gone:
                try:
                    await subscription.unsubscribe()
                except NatsError:
                    continue  # the connection is closed: so is the subscription

    async def _event(self, message: Msg) -> None:
        try:
            event = event_decoder.decode(message.data)
        except StrongroomError:
            return
        self._tell(change_of(event))

    async def _progress(self, message: Msg) -> None:
        try:
            self._tell(progress_decoder.decode(message.data))
        except StrongroomError:
            return

    def _tell(self, news: Change | Progress) -> None:
        for queue in tuple(self._listeners):
            if queue.qsize() < _WAITING:
                queue.put_nowait(news)
            else:
                self._listeners.discard(queue)
                queue.put_nowait(None)


def live_routes(backend: Backend) -> Sequence[HTTPRouteHandler]:
    feed = Feed(backend.client)

    @get("/live")
    async def live(request: AnyRequest) -> ASGIApp:
        """Server-sent events `change`, and `progress` where the query asks for it (`progress=1`, `project`, `service`)."""
        caller = need_session(request)
        query = request.query_params
        wanted = _Wanted(
            project=caller.project or query.get("project", ""),
            service=query.get("service", ""),
            progress=query.get("progress", "") == "1",
        )
        return EventStream(backend, caller, _frames(backend.client, feed, wanted))

    return [live]


class _Wanted(msgspec.Struct, frozen=True, kw_only=True):
    project: str
    service: str
    progress: bool


async def _frames(client: Client, feed: Feed, wanted: _Wanted) -> AsyncGenerator[Frame, None]:
    """`hello` once everything that happens is heard, with the newest event before that; and then what happens.

    A page that was made before that event asks for its parts once more.
    """
    queue = await feed.listen()
    try:
        yield Frame("hello", encode({"seen": await last_sequence(client, EVENTS_STREAM)}).decode())
        while (news := await queue.get()) is not None:
            is_progress = isinstance(news, Progress)
            if (wanted.progress or not is_progress) and concerns(news, wanted.project, wanted.service):
                yield Frame("progress" if is_progress else "change", encode(news).decode())
    finally:
        await feed.leave(queue)


def change_of(event: Event) -> Change:
    return Change(
        type=event.type, project=event.project, service=event.service, id=event.restore_id or event.backup_id or ""
    )


def concerns(news: Change | Progress, project: str, service: str) -> bool:
    """Whether it may be told to somebody who asks for this project and service.  Nodes belong to all projects; what else
    belongs to none, such as the audit log, is told only to whoever may see all."""
    if not project:
        return True
    if not news.project:
        return isinstance(news, Change) and news.type.startswith("node.")
    return news.project == project and (not service or news.service in ("", service))
