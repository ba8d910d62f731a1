"""Waiting for a run to end: its progress and events are listened to, its record is asked for, and the record decides."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeVar

from contracts.errors import RunFailed, StrongroomError, Unavailable
from contracts.events import event_decoder
from contracts.records import BackupRecord, RestoreRecord, RunKind, RunState
from contracts.reports import progress_decoder
from contracts.subjects import event_subject, progress_subject
from daemon.cli.run_picture import RunPicture
from daemon.cli.run_views import RunView, view_of
from daemon.cli.terminal import Terminal
from daemon.cli.words import run_name

if TYPE_CHECKING:
    from nats.aio.msg import Msg

    from daemon.cli.client import ControlClient

R = TypeVar("R", BackupRecord, RestoreRecord)

_POLL_S: Final = 3.0
"""The record is asked for this often even if nothing is heard: messages may be lost, records are not."""
_FRAME_S: Final = 0.2


class Watch:
    """Hears of all runs of one kind of a service, from before the one to follow is asked for."""

    def __init__(self, kind: RunKind, terminal: Terminal) -> None:
        self._kind = kind
        self._terminal = terminal
        self._picture = RunPicture(kind, time.monotonic())
        self._run_id = ""
        self._news = asyncio.Event()

    async def until_ended(self, record: R, look: Callable[[R], Awaitable[R]]) -> R:
        """The record of the run once it has ended, however long that takes; `look` asks for it anew.

        Cancelled (Ctrl-C), it says that the run goes on and how to follow or cancel it.  Raises: StrongroomError of `look`,
        but for Unavailable: the coordinator and the servers may come and go meanwhile.
        """
        self._run_id = record.id
        self._picture.take_record(record)
        try:
            with view_of(self._terminal) as view:
                drawing = asyncio.create_task(self._draw(view), name="follow:draw")
                try:
                    while record.state.is_active:
                        await self._wait_for_news()
                        record = await self._look(record, look)
                finally:
                    drawing.cancel()
                    await asyncio.gather(drawing, return_exceptions=True)
        except asyncio.CancelledError:
            self._terminal.say(_goes_on(self._kind, record))
            raise
        return record

    async def hear_progress(self, message: Msg) -> None:
        try:
            progress = progress_decoder.decode(message.data)
        except StrongroomError:
            return
        if progress.run_id == self._run_id and progress.run is self._kind:
            self._picture.take_progress(progress, time.monotonic())

    async def hear_event(self, message: Msg) -> None:
        try:
            event = event_decoder.decode(message.data)
        except StrongroomError:
            return
        if self._run_id in (event.backup_id, event.restore_id):
            self._news.set()

    async def _wait_for_news(self) -> None:
        try:
            async with asyncio.timeout(_POLL_S):
                await self._news.wait()
        except TimeoutError:
            return
        finally:
            self._news.clear()

    async def _look(self, record: R, look: Callable[[R], Awaitable[R]]) -> R:
        try:
            record = await look(record)
        except Unavailable as exc:
            self._picture.trouble = f"{exc.message.partition(':')[0]}; still trying"
            return record
        self._picture.take_record(record)
        return record

    async def _draw(self, view: RunView) -> None:
        while True:
            view.show(self._picture)
            await asyncio.sleep(_FRAME_S)


@asynccontextmanager
async def watch(
    client: ControlClient, kind: RunKind, project: str, service: str, terminal: Terminal
) -> AsyncIterator[Watch]:
    """Enter it before the run is asked for, so that nothing of it is missed."""
    watching = Watch(kind, terminal)
    progress = await client.bus.subscribe(progress_subject(project, service, "*"), cb=watching.hear_progress)
    events = await client.bus.subscribe(event_subject(f"{kind}.*", project, service), cb=watching.hear_event)
    try:
        yield watching
    finally:
        if client.bus.is_connected:
            await progress.unsubscribe()
            await events.unsubscribe()


def failure_of(record: BackupRecord | RestoreRecord) -> RunFailed | None:
    """The error of a run that ended without success, whatever branch its code belongs to; None for a completed one."""
    if record.state is RunState.COMPLETED:
        return None
    error = record.error
    if error is None:
        return RunFailed("agent.internal", f"{run_name(record)} is {record.state}")
    try:
        return RunFailed(error.code, error.message, field=error.field, detail=error.detail)
    except ValueError:
        # A code of a newer coordinator.
        return RunFailed("internal", f"{error.code}: {error.message}", field=error.field, detail=error.detail)


def _goes_on(kind: RunKind, record: BackupRecord | RestoreRecord) -> str:
    noun = "backup" if kind is RunKind.BACKUP else "restores"
    name = run_name(record)
    return (
        f"The {kind} goes on without you.\n"
        f"  strongroom {noun} follow {name}   waits for it again\n"
        f"  strongroom {noun} cancel {name}   stops it"
    )
