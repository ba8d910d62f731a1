"""Waiting for a run to end: what is heard of it is shown, and its record decides."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, TypeVar

from contracts.errors import RunFailed
from contracts.records import BackupRecord, RestoreRecord, RunKind, RunState
from contracts.reports import Progress
from daemon.cli.references import RunRef
from daemon.cli.run_picture import RunPicture
from daemon.cli.run_views import RunView, view_of
from daemon.cli.terminal import Terminal
from daemon.cli.words import run_name
from daemon.news import Trouble, kind_of

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

R = TypeVar("R", BackupRecord, RestoreRecord)

_FRAME_S: Final = 0.2


async def follow_run(client: ControlClient, record: R, terminal: Terminal) -> R:
    """The record of the run once it has ended, however long that takes.

    Cancelled (Ctrl-C), it says that the run goes on and how to follow or cancel it.  Raises: StrongroomError, but for
    Unavailable: coordinators and servers may come and go meanwhile.
    """
    if not record.state.is_active:
        return record
    picture = RunPicture(kind_of(record), time.monotonic())
    picture.take_record(record)
    try:
        with view_of(terminal) as view:
            drawing = asyncio.create_task(_draw(view, picture), name="follow:draw")
            try:
                return await _until_ended(client, record, picture)
            finally:
                drawing.cancel()
                await asyncio.gather(drawing, return_exceptions=True)
    except asyncio.CancelledError:
        terminal.say(_goes_on(kind_of(record), record))
        raise


async def _until_ended(client: ControlClient, record: R, picture: RunPicture) -> R:
    async with aclosing(client.run_news(RunRef(record.project, record.service, record.id))) as found:
        async for news in found:
            if isinstance(news, Progress):
                picture.take_progress(news, time.monotonic())
            elif isinstance(news, Trouble):
                picture.trouble = f"{news.message.partition(':')[0]}; still trying"
            elif isinstance(news, type(record)):
                record = news
                picture.take_record(record)
    return record


async def _draw(view: RunView, picture: RunPicture) -> None:
    while True:
        view.show(picture)
        await asyncio.sleep(_FRAME_S)


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
