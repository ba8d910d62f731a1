"""`strongroom watch`: what runs now, what happens, and how everything stands."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import typer

from contracts import control
from contracts.errors import StrongroomError, Unavailable
from contracts.events import Event
from contracts.records import RunKind, RunState
from contracts.reports import Progress
from contracts.tasks import cancel_surely, cancellable
from contracts.wire import utc_now
from daemon.cli.arguments import ScopeArgument
from daemon.cli.command import Call, command
from daemon.cli.events import chosen_types, parse_since
from daemon.cli.references import RunRef, parse_scope
from daemon.cli.watch_picture import WatchPicture
from daemon.cli.watch_views import WatchView, view_of
from daemon.filters import EventFilter
from daemon.news import Numbered

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

_LOOK_EVERY_S: Final = 5.0
_CALM_S: Final = 0.5
"""Many events at a time lead to one look."""
_FRAME_S: Final = 0.25
_BEFORE: Final = "1h"
_UNDER_WAY: Final = [RunState.REQUESTED, RunState.RUNNING]
_MOST_RESTORES: Final = 20


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "watch",
        panel="Look",
        examples=[
            ("strongroom watch", "everything, until Ctrl-C"),
            ("strongroom watch acme/orders", "one service"),
            ("strongroom watch acme | tee watch.log", "in lines, for a file"),
            ("strongroom watch --output ndjson | jq -c .event", "for a program"),
        ],
    )(watch)


async def watch(call: Call, scope: ScopeArgument = "") -> None:
    """Watch what runs now with its progress, the last events, and how everything stands, until Ctrl-C.

    A screen on a terminal, and lines elsewhere.  For programs, a JSON object a line with one field: `overview` or `service`
    when how it stands has changed, `event`, or `progress`."""
    project, service = parse_scope(scope)
    async with call.connect() as client:
        watching = _Watching(client, WatchPicture(project, service))
        # What does not exist, or may not be seen, is told before a screen is opened.
        await watching.look()
        with view_of(call.terminal) as view:
            await watching.run(view)


class _Watching:
    def __init__(self, client: ControlClient, picture: WatchPicture) -> None:
        self._client = client
        self._picture = picture
        self._look_again = asyncio.Event()
        self._view: WatchView | None = None
        self._followers: dict[RunRef, asyncio.Task[None]] = {}

    async def run(self, view: WatchView) -> None:
        """Until cancelled.  Raises: StrongroomError for what no waiting mends, such as a token that was revoked."""
        self._view = view
        view.tell_overview(self._picture)
        works = {"look": self._keep_looking(), "events": self._hear_events(), "draw": self._draw(view)}
        tasks = [asyncio.create_task(cancellable(work), name=f"watch:{name}") for name, work in works.items()]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await cancel_surely(*tasks, *self._followers.values())

    async def look(self) -> None:
        """Asks how everything stands, and begins to follow what runs.  Raises: StrongroomError."""
        picture = self._picture
        overview = await self._client.ask(control.OVERVIEW, control.OverviewOf(project=picture.project))
        view = None
        if picture.service:
            request = control.ServiceRef(project=picture.project, service=picture.service)
            view = await self._client.ask(control.SERVICE_SHOW, request)
        of = control.RestoreList(project=picture.project, states=_UNDER_WAY, limit=_MOST_RESTORES)
        restores = (await self._client.ask(control.RESTORE_LIST, of)).restores
        picture.take_overview(overview, view)
        for ref, kind in picture.to_follow(restores):
            self._follow(ref, kind)

    async def _keep_looking(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_LOOK_EVERY_S):
                    await self._look_again.wait()
                await asyncio.sleep(_CALM_S)
            except TimeoutError:
                pass
            self._look_again.clear()
            try:
                await self.look()
            except Unavailable as exc:
                self._picture.trouble = f"{exc.message.partition(':')[0]}; still trying"
                continue
            if self._view is not None:
                self._view.tell_overview(self._picture)

    async def _hear_events(self) -> None:
        picture = self._picture
        wanted = EventFilter(project=picture.project, service=picture.service, types=chosen_types([], audit=False))
        since = parse_since(_BEFORE, utc_now())
        while True:
            try:
                async with aclosing(self._client.events(wanted, since=since)) as found:
                    async for event in found:
                        self._take_event(event.value)
                        since = event.value.at
            except Unavailable:
                await asyncio.sleep(_LOOK_EVERY_S)

    def _take_event(self, event: Event) -> None:
        self._picture.take_event(event)
        if self._view is not None:
            self._view.tell_event(event)
        self._look_again.set()

    def _follow(self, ref: RunRef, kind: RunKind) -> None:
        self._picture.begin(ref, kind, time.monotonic())
        task = asyncio.create_task(cancellable(self._hear_run(ref)), name=f"watch:{ref}")
        self._followers[ref] = task
        task.add_done_callback(lambda ended: self._forget(ref, ended))

    def _forget(self, ref: RunRef, ended: asyncio.Task[None]) -> None:
        if not ended.cancelled():
            ended.exception()  # looked at: nobody waits for it, and the record decides what became of the run
        self._picture.end(ref)
        self._followers.pop(ref, None)
        self._look_again.set()

    async def _hear_run(self, ref: RunRef) -> None:
        """Until it has ended.  What goes wrong with one run ends nothing else: the next look begins it anew."""
        try:
            async with aclosing(self._client.run_news(ref)) as found:
                async for news in found:
                    if isinstance(news, Numbered):
                        continue  # a log line
                    self._picture.take_news(ref, news, time.monotonic())
                    if isinstance(news, Progress) and self._view is not None:
                        self._view.tell_progress(news)
        except StrongroomError:
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _draw(self, view: WatchView) -> Any:
        while True:
            view.show(self._picture)
            await asyncio.sleep(_FRAME_S)
