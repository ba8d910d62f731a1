"""A run as it goes: its record whenever that changed, what its agent says of it, its log lines, until it has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from contracts.errors import StrongroomError, Unavailable
from contracts.events import event_decoder
from contracts.records import AnyRun
from contracts.subjects import event_subject
from contracts.tasks import cancel_surely, cancellable
from daemon.activity import LogFilter, log_lines, progress
from daemon.news import Numbered, RunNews, Trouble, kind_of

__all__ = ["Numbered", "RunNews", "Trouble", "kind_of", "run_news"]

POLL_S: Final = 3.0
"""The record is asked for this often even if nothing is heard: messages may be lost, records are not."""
_MOST_WAITING: Final = 256
"""News that nobody has taken yet; whoever makes more of it waits."""


async def run_news(
    client: Client, look: Callable[[], Awaitable[AnyRun]], *, after_log: int = 0
) -> AsyncGenerator[RunNews, None]:
    """The record first, and last of all as it is when the run has ended; in between whatever is heard of the run.

    `look` asks for the record.  Log lines are all those that are kept, or those after a place in their stream.
    Raises: StrongroomError of `look`, but for Unavailable: coordinators and servers may come and go meanwhile.
    """
    following = _Following(client, look, after_log)
    record = await look()
    try:
        if record.state.is_active:
            yield record
            await following.begin(record)
            while (news := await following.next()) is not None:
                yield news
    finally:
        await following.end()
    # What the agent logged last may have been stored after its run was found ended.
    wanted = LogFilter(project=record.project, service=record.service, run_id=record.id)
    async with aclosing(log_lines(client, wanted, after_sequence=following.logged, follow=False)) as lines:
        async for line in lines:
            yield line
    yield following.ended or record


class _Following:
    """The tasks that listen to an active run, and what they have heard."""

    def __init__(self, client: Client, look: Callable[[], Awaitable[AnyRun]], after_log: int) -> None:
        self._client = client
        self._look = look
        self.logged = after_log
        """The place of the last log line that was handed out."""
        self.ended: AnyRun | None = None
        self._news: asyncio.Queue[RunNews | Exception | None] = asyncio.Queue(_MOST_WAITING)
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, record: AnyRun) -> None:
        works = {
            "record": self._hear_record(record),
            "logs": self._hear_logs(record),
            "progress": self._hear_progress(record),
        }
        self._tasks = [asyncio.create_task(cancellable(work), name=f"run:{name}") for name, work in works.items()]

    async def next(self) -> RunNews | None:
        """None when the run has ended: `ended` is its record.  Raises: what a task ended with."""
        news = await self._news.get()
        if isinstance(news, Exception):
            raise news
        if isinstance(news, Numbered):
            self.logged = news.sequence
        return news

    async def end(self) -> None:
        await cancel_surely(*self._tasks)

    async def _hear_record(self, record: AnyRun) -> None:
        """Puts the record whenever it has changed, and None once it has ended."""

        async def heard(message: Msg) -> None:
            with contextlib.suppress(StrongroomError):
                event = event_decoder.decode(message.data)
                if record.id in (event.backup_id, event.restore_id):
                    self._woken.set()

        subject = event_subject(f"{kind_of(record)}.*", record.project, record.service)
        subscription = await self._client.subscribe(subject, cb=heard)
        troubled = False
        try:
            while record.state.is_active:
                try:
                    now = await self._look()
                except Unavailable as exc:
                    troubled = True
                    await self._news.put(Trouble(exc.message))
                else:
                    if now != record or troubled:
                        record, troubled = now, False
                        if record.state.is_active:
                            await self._news.put(record)
                        continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._woken.wait()
                self._woken.clear()
            self.ended = record
            await self._news.put(None)
        except Exception as exc:  # noqa: BLE001 - whatever it is, whoever follows must not wait for ever
            await self._news.put(exc)
        finally:
            with contextlib.suppress(NatsError):
                await subscription.unsubscribe()

    async def _hear_logs(self, record: AnyRun) -> None:
        wanted = LogFilter(project=record.project, service=record.service, run_id=record.id)
        try:
            async with aclosing(log_lines(self._client, wanted, after_sequence=self.logged)) as lines:
                async for line in lines:
                    await self._news.put(line)
        except Unavailable as exc:
            # Without its log lines a run is still worth following.
            await self._news.put(Trouble(exc.message))

    async def _hear_progress(self, record: AnyRun) -> None:
        async with aclosing(progress(self._client, record.project, record.service, record.id)) as lines:
            async for line in lines:
                if line.run is kind_of(record):
                    await self._news.put(line)
