"""The feed of one run for the page that shows it: its figures and log lines, ready to be shown, until it has ended."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import msgspec
from litestar import get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from contracts import control
from contracts.errors import InvalidInput
from contracts.records import AnyRun, BackupRecord, RestoreRecord, RunKind
from contracts.reports import Progress
from daemon.access.caller import Caller
from daemon.cli.run_picture import RunPicture
from daemon.http.backend import Backend
from daemon.http.event_stream import EventStream
from daemon.run_news import RunNews, Trouble, run_news
from daemon.sse import Frame
from daemon.stream_reader import Numbered
from daemon.web.filters import page_made_at
from daemon.web.rendering import environment
from daemon.web.service.run_view import run_figures, shown_line, state_words
from daemon.web.sessions import need_session
from daemon.web.visits import AnyRequest

_LAST_ID: Final = "last-event-id"


def live_run(backend: Backend) -> Sequence[HTTPRouteHandler]:
    @get("/projects/{project:str}/services/{service:str}/runs/{id:str}/live")
    async def live(request: AnyRequest) -> ASGIApp:
        """Server-sent events: `picture` and `line` are HTML, `words` is said aloud, `over` ends it."""
        caller = need_session(request)
        names = request.path_params
        reference = control.RunRefRequest(project=names["project"], service=names["service"], id=names["id"])
        kind = _kind(request.query_params.get("kind", "backup"))
        await show_run(backend, caller, kind, reference)  # what is wrong is told before the feed begins

        async def look() -> AnyRun:
            return await show_run(backend, caller, kind, reference)

        news = run_news(backend.client, look, after_log=_last_seen(request))
        return EventStream(backend, caller, _frames(backend, kind, news))

    return [live]


async def show_run(
    backend: Backend, caller: Caller, kind: RunKind, reference: control.RunRefRequest
) -> BackupRecord | RestoreRecord:
    """Raises: NotFound, Denied."""
    if kind is RunKind.BACKUP:
        return await backend.control.invoke(control.BACKUP_RECORD, reference, caller)
    return await backend.control.invoke(control.RESTORE_SHOW, reference, caller)


async def _frames(backend: Backend, kind: RunKind, found: AsyncGenerator[RunNews, None]) -> AsyncGenerator[Frame, None]:
    picture = RunPicture(kind, time.monotonic())
    said = ""
    async with aclosing(found):
        async for each in found:
            if isinstance(each, Numbered):
                yield Frame("line", _html(backend, "_log_line.html", line=shown_line(each.value)), str(each.sequence))
                continue
            if isinstance(each, Trouble):
                picture.trouble = each.message
            elif isinstance(each, Progress):
                picture.take_progress(each, time.monotonic())
            else:
                picture.take_record(each)
                if not each.state.is_active:
                    yield Frame("over", each.state.value)
                    return
                if (words := state_words(each)) != said:
                    said = words
                    yield Frame("words", words)
            figures = run_figures(picture, time.monotonic(), backend.now())
            yield Frame("picture", _html(backend, "_picture.html", figures=figures, record=picture.record))


def _html(backend: Backend, name: str, **context: Any) -> str:
    with page_made_at(backend.now()):
        return environment().get_template(f"service/{name}").render(context)


def _kind(text: str) -> RunKind:
    """Raises: InvalidInput."""
    try:
        return msgspec.convert(text, RunKind)
    except msgspec.ValidationError:
        raise InvalidInput("input.invalid", f"{text[:40]!r} is neither backup nor restore", field="kind") from None


def _last_seen(request: AnyRequest) -> int:
    text = request.headers.get(_LAST_ID, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
