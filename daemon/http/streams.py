"""What happens as it happens: events, log lines, and a run until its end, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from contracts.access import Role
from contracts.errors import InvalidInput, NotFound
from contracts.events import Event
from contracts.ids import RunId
from contracts.records import AnyRun, BackupRecord, RestoreRecord
from contracts.reports import LogLine, Progress
from contracts.wire import encode
from daemon.access.caller import Caller
from daemon.activity import events, log_lines
from daemon.catalog.catalog import Catalog
from daemon.filters import EventFilter, LogFilter
from daemon.http.authentication import caller_of, need_role
from daemon.http.backend import Backend
from daemon.http.event_stream import EventStream
from daemon.http.operations import API_PREFIX, Answer, Operation, Parameter
from daemon.http.places import Places
from daemon.http.queries import query_of
from daemon.news import Numbered, RunNews, Trouble
from daemon.run_news import run_news
from daemon.sse import MEDIA_TYPE, Frame

AnyRequest = Request[Any, Any, Any]

FOLLOW_PATH: Final = "/projects/{project}/services/{service}/runs/{id}/follow"
_LAST_ID: Final = "last-event-id"


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    project: str = ""
    service: str = ""
    types: tuple[str, ...] = ()
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    since: datetime | None = None
    follow: bool = True


class LogsQuery(msgspec.Struct, frozen=True, kw_only=True):
    project: str = ""
    service: str = ""
    run: str = ""
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    since: datetime | None = None
    last: Annotated[int, msgspec.Meta(ge=0, le=10_000)] | None = None
    follow: bool = True


_MOST: Final = 1_000
"""Each takes a consumer on the NATS servers, a task or two here, and its reader's connection."""
_MOST_EACH: Final = 50


def streams(backend: Backend) -> Sequence[HTTPRouteHandler]:
    places = Places(_MOST, most_each=_MOST_EACH, what="streams")

    def answer(caller: Caller, frames: AsyncGenerator[Frame, None]) -> ASGIApp:
        """Raises: Unavailable `access.busy`."""
        holder = caller.token_id or caller.actor
        places.check(holder)
        return EventStream(backend, caller, places.hold(holder, frames))

    @get(f"{API_PREFIX}/events", include_in_schema=False)
    async def follow_events(request: AnyRequest) -> ASGIApp:
        caller = await caller_of(backend, request)
        query = query_of(request, EventsQuery)
        wanted = EventFilter(
            project=_scoped(caller, query.project, "the event stream"), service=query.service, types=query.types
        )
        wanted.subjects()  # what is wrong with it is told before the answer begins
        _check_time(query.since)
        after = _last_seen(request, query.after)
        found = events(backend.client, wanted, after_sequence=after, since=query.since, follow=query.follow)
        return answer(caller, _framed("event", found))

    @get(f"{API_PREFIX}/logs", include_in_schema=False)
    async def follow_logs(request: AnyRequest) -> ASGIApp:
        caller = await caller_of(backend, request)
        query = query_of(request, LogsQuery)
        wanted = LogFilter(project=_scoped(caller, query.project, "the log stream"), service=query.service, run_id=query.run)
        wanted.subjects()
        _check_time(query.since)
        found = log_lines(
            backend.client,
            wanted,
            after_sequence=_last_seen(request, query.after),
            since=query.since,
            last=query.last,
            follow=query.follow,
        )
        return answer(caller, _framed("log", found))

    @get(f"{API_PREFIX}/projects/{{project:str}}/services/{{service:str}}/runs/{{id:str}}/follow", include_in_schema=False)
    async def follow_run(request: AnyRequest) -> ASGIApp:
        caller = await caller_of(backend, request)
        project, service, run_id = (request.path_params[name] for name in ("project", "service", "id"))
        need_role(caller, Role.VIEWER, project=project, what="following a run")
        await find_run(backend.catalog, project, service, run_id)

        async def look() -> AnyRun:
            return await find_run(backend.catalog, project, service, run_id)

        news = run_news(backend.client, look, after_log=_last_seen(request, None) or 0)
        return answer(caller, _news_frames(news))

    return [follow_events, follow_logs, follow_run]


async def find_run(catalog: Catalog, project: str, service: str, run_id: str) -> AnyRun:
    """The record of the backup or the restore of this id.  Raises: NotFound, InvalidInput."""
    try:
        return (await catalog.need_backup(project, service, run_id)).value
    except NotFound:
        try:
            return (await catalog.need_restore(project, service, run_id)).value
        except NotFound:
            raise NotFound(
                "backup.not_found", f"{project}/{service} has no backup or restore {run_id!r}", field="id"
            ) from None


def _scoped(caller: Caller, project: str, what: str) -> str:
    """The project that is looked at: the caller's own where it has but one.  Raises: Denied for another."""
    project = project or caller.project
    need_role(caller, Role.VIEWER, project=project, what=what)
    return project


def _last_seen(request: AnyRequest, after: int | None) -> int | None:
    """Raises: InvalidInput for a `Last-Event-ID` that is none of ours."""
    text = request.headers.get(_LAST_ID, "")
    if not text:
        return after
    if not text.isdecimal() or len(text) > 18:
        raise InvalidInput("input.invalid", "Last-Event-ID is not an id that this stream gave", field="Last-Event-ID")
    return int(text)


def _check_time(since: datetime | None) -> None:
    if since is not None and since.tzinfo is None:
        raise InvalidInput("input.invalid", "since must say its zone, as 2026-11-22T00:05:00Z does", field="since")


async def _framed(name: str, found: AsyncGenerator[Numbered[Any], None]) -> AsyncGenerator[Frame, None]:
    async with aclosing(found):
        async for each in found:
            yield Frame(name, encode(each.value).decode(), str(each.sequence))


async def _news_frames(found: AsyncGenerator[RunNews, None]) -> AsyncGenerator[Frame, None]:
    async with aclosing(found):
        async for each in found:
            if isinstance(each, Numbered):
                yield Frame("log", encode(each.value).decode(), str(each.sequence))
            elif not isinstance(each, Trouble):
                yield Frame(_NAMES[type(each)], encode(each).decode())


_NAMES: Final = {BackupRecord: "backup", RestoreRecord: "restore", Progress: "progress"}

_PROJECT: Final = Parameter(name="project", type=str, doc="Only of this project.", default="", example="acme")
_SERVICE: Final = Parameter(name="service", type=str, doc="Only of services of this name.", default="", example="orders")
_AFTER: Final = Parameter(
    name="after", type=Annotated[int, msgspec.Meta(ge=0)], doc="Only what is stored after this id.", default=None
)
_SINCE: Final = Parameter(
    name="since", type=datetime, doc="Also what was stored from this time on.", default=None, example="2026-11-22T00:05:00Z"
)
_FOLLOW: Final = Parameter(
    name="follow",
    type=bool,
    doc="Whether the stream goes on with what comes; without, it ends with what there is.",
    default=True,
)
_LAST_EVENT_ID: Final = Parameter(
    name="Last-Event-ID", type=str, place="header", doc="The id that was seen last: the stream goes on after it."
)
_END_DOC: Final = (
    "Comments arrive in silences of 15 s.  The last event is called `end`, and its data say why (`reason`: `ended`, "
    "`stopping`, `refused`, `slow`, `failed`).  A stream without one was cut off: connect again with `Last-Event-ID`."
)

OPERATIONS: Final[Sequence[Operation]] = (
    Operation(
        name="event.follow",
        method="GET",
        path="/events",
        summary="Events as they happen (server-sent events)",
        doc=f"Each event is called `event`, its data are an event, and its id its place in the stream.  {_END_DOC}",
        parameters=(
            _PROJECT,
            _SERVICE,
            Parameter(
                name="types",
                type=list[str],
                doc="Only of these types, such as `backup.failed`, or `backup` for all that begin so.",
                default=[],
                example=["backup.failed"],
            ),
            _AFTER,
            _SINCE,
            _FOLLOW,
            _LAST_EVENT_ID,
        ),
        answers=(Answer(doc="The stream.", media_type=MEDIA_TYPE, type=Event),),
    ),
    Operation(
        name="log.follow",
        method="GET",
        path="/logs",
        summary="Log lines of jobs, those that are kept and those that come (server-sent events)",
        doc=f"Each event is called `log`, its data are a log line, and its id its place in the stream.  {_END_DOC}",
        parameters=(
            _PROJECT,
            _SERVICE,
            Parameter(name="run", type=RunId, doc="Only of this backup or restore.", default=None),
            _AFTER,
            _SINCE,
            Parameter(
                name="last",
                type=Annotated[int, msgspec.Meta(ge=0, le=10_000)],
                doc="Begin with the newest so many lines instead of the oldest.",
                default=None,
                example=100,
            ),
            _FOLLOW,
            _LAST_EVENT_ID,
        ),
        answers=(Answer(doc="The stream.", media_type=MEDIA_TYPE, type=LogLine),),
    ),
    Operation(
        name="run.follow",
        method="GET",
        path=FOLLOW_PATH,
        summary="A backup or restore until it has ended (server-sent events)",
        doc=(
            "Events called `backup` or `restore` bring its record whenever that has changed, the first at once and the last "
            "when the run has ended; `progress` what its agent says, every second or so; `log` its log lines, with ids "
            f"for `Last-Event-ID`.  {_END_DOC}"
        ),
        parameters=(
            Parameter(name="project", type=str, place="path", example="acme"),
            Parameter(name="service", type=str, place="path", example="orders"),
            Parameter(name="id", type=RunId, place="path", example="20261122T000512Z-k7xq"),
            _LAST_EVENT_ID,
        ),
        answers=(Answer(doc="The stream.", media_type=MEDIA_TYPE),),
        refusals=(404,),
    ),
)
