"""The subjects of the bus that are no verbs, and which messages travel on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from contracts import subjects
from contracts.events import EVENT_TYPES
from contracts.schemas import ANSWERS

Parameters = Mapping[str, Mapping[str, Any]]

_TRACEPARENT: Final = {"traceparent": {"type": "string", "description": "W3C Trace Context, where traces are made."}}
_ID: Final = {"Nats-Msg-Id": {"type": "string", "description": "The stream stores what bears the same id once."}}


class Way(Enum):
    """As the coordinator sees it."""

    IN = auto()
    OUT = auto()


@dataclass(frozen=True)
class Message:
    """A message by its name in the document, and the type of its payload."""

    name: str
    payload: str
    summary: str = ""
    title: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Channel:
    """Subjects of one pattern."""

    name: str
    address: str
    """With `{parameters}`; empty where it is the reply subject of a request."""
    doc: str
    messages: Sequence[Message]
    way: Way | None
    """None: answers, which belong to the operation that is asked."""
    operation: str = ""
    summary: str = ""
    parameters: Parameters = field(default_factory=dict)
    replies: str = ""
    """The name of the channel on which it is answered."""
    is_stream: bool = False
    """Whether it is read from a stream, and not subscribed to."""


def _headers(*groups: Mapping[str, Any], required: Sequence[str] = ()) -> Mapping[str, Any]:
    properties: dict[str, Any] = {}
    for group in (*groups, _TRACEPARENT):
        properties |= group
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _of(type_: str, summary: str, headers: Mapping[str, Any] | None = None) -> Message:
    return Message(type_, type_, summary, headers=headers or _headers())


def _event(type_: str, doc: str) -> Message:
    attributes = {
        "ce-specversion": {"const": "1.0"},
        "ce-id": {"type": "string", "description": "Derived from what happened: stated twice, it is the same."},
        "ce-source": {"const": "/strongroom/coordinator"},
        "ce-type": {"const": f"strongroom.{type_}"},
        "ce-time": {"type": "string", "format": "date-time"},
        "ce-subject": {"type": "string", "description": "What it is about, such as `acme/orders/<run id>`, or a node."},
        "ce-datacontenttype": {"const": "application/json"},
        "ce-dataschema": {"const": "urn:strongroom:schema:Event"},
        "ce-traceparent": {"type": "string", "description": "As `traceparent`, for who reads CloudEvents."},
    }
    required = ["Nats-Msg-Id", "ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time"]
    summary = doc[:1].upper() + doc[1:]
    return Message(type_, "Event", summary, headers=_headers(_ID, attributes, required=required))


def _parameters(**docs: str) -> Parameters:
    return {name: {"description": doc} for name, doc in docs.items()}


_NODE: Final = _parameters(node="The name of the node: the server lets its agent publish below it and nowhere else.")
_RUN: Final = _parameters(project="Its project.", service="Its service.", run="Its id, such as `20261122T000512Z-k7xq`.")
_EVENT_PLACE: Final[Parameters] = {
    "noun": {
        "description": "What it is about.",
        "enum": sorted({type_.partition(".")[0] for type_ in EVENT_TYPES}),
    },
    "verbed": {
        "description": "What happened to it.",
        "enum": sorted({type_.partition(".")[2] for type_ in EVENT_TYPES}),
    },
    **_parameters(project="Or `-` where none applies.", service="Or `-` where none applies."),
}
_RUN_MESSAGES: Final = (
    _of("Progress", "How far a run is, about once a second"),
    _of("LogLine", "One structured line of a run's log"),
)

CHANNELS: Final[Sequence[Channel]] = (
    Channel(
        name="requests",
        address=subjects.request_subject("{node}"),
        doc=f"Stream {subjects.REQUESTS_STREAM}, a work queue: one durable pull consumer for each node, named like it.",
        messages=(
            _of("BackupRequest", "Back this service up now", _headers(_ID, required=["Nats-Msg-Id"])),
            _of("RestoreRequest", "Restore a backup here now", _headers(_ID, required=["Nats-Msg-Id"])),
        ),
        way=Way.OUT,
        operation="requestRun",
        summary="The coordinator hands a run to a node",
        parameters=_NODE,
    ),
    Channel(
        name="asks",
        address=subjects.ask_subject("{node}"),
        doc="What an agent asks while it works: to claim its run, for signed URLs, to have an artifact completed.",
        messages=(_of("Question", "An ask, and which run it is about"),),
        way=Way.IN,
        operation="answerAgent",
        summary="The coordinator answers an agent at work",
        parameters=_NODE,
        replies="answers",
    ),
    Channel(
        name="answers",
        address="",
        doc="On the reply subject of the question: an inbox of the node (`_INBOX_<node>...`).",
        messages=tuple(_of(answer.__name__, (answer.__doc__ or "").partition("\n")[0], _headers()) for answer in ANSWERS),
        way=None,
    ),
    Channel(
        name="reports",
        address=subjects.report_subject("{node}"),
        doc=f"Stream {subjects.REPORTS_STREAM}, a work queue: a report counts only from the node and attempt of the record.",
        messages=(
            _of("BackupFinished", "Every artifact is stored and closed", _headers(_ID)),
            _of("RestoreFinished", "Everything asked for is in place", _headers(_ID)),
            _of("RunFailedReport", "The run could not be done", _headers(_ID)),
        ),
        way=Way.IN,
        operation="takeReport",
        summary="The coordinator takes an agent's report",
        parameters=_NODE,
        is_stream=True,
    ),
    Channel(
        name="heartbeats",
        address=subjects.heartbeat_subject("{node}"),
        doc="Core NATS, every few seconds: three may be lost before a node is silent.",
        messages=(_of("Heartbeat", "A node lives, and what it sees and does"),),
        way=Way.IN,
        operation="hearHeartbeat",
        summary="The coordinator hears that a node lives",
        parameters=_NODE,
    ),
    Channel(
        name="agentProgress",
        address=subjects.agent_progress_subject("{node}"),
        doc="Core NATS; passed on after it was held against the run's record.",
        messages=_RUN_MESSAGES[:1],
        way=Way.IN,
        operation="takeProgress",
        summary="The coordinator hears how far a run is",
        parameters=_NODE,
    ),
    Channel(
        name="agentLogs",
        address=subjects.agent_log_subject("{node}"),
        doc="Core NATS; stored after it was held against the run's record.",
        messages=_RUN_MESSAGES[1:],
        way=Way.IN,
        operation="takeLogLine",
        summary="The coordinator takes a line of a run's log",
        parameters=_NODE,
    ),
    Channel(
        name="progress",
        address=subjects.progress_subject("{project}", "{service}", "{run}"),
        doc="Core NATS, not stored: for whoever watches.",
        messages=_RUN_MESSAGES[:1],
        way=Way.OUT,
        operation="tellProgress",
        summary="The coordinator tells how far a run is",
        parameters=_RUN,
    ),
    Channel(
        name="logs",
        address=subjects.log_subject("{project}", "{service}", "{run}"),
        doc=f"Stream {subjects.LOGS_STREAM}, kept for 30 days: `strongroom logs -f` reads it.",
        messages=_RUN_MESSAGES[1:],
        way=Way.OUT,
        operation="tellLogLine",
        summary="The coordinator stores a line of a run's log",
        parameters=_RUN,
    ),
    Channel(
        name="events",
        address=subjects.event_subject("{noun}.{verbed}", "{project}", "{service}"),
        doc=f"Stream {subjects.EVENTS_STREAM}, kept for 400 days: what the coordinator states as fact, and the audit log.",
        messages=tuple(_event(type_, doc) for type_, doc in EVENT_TYPES.items()),
        way=Way.OUT,
        operation="stateEvent",
        summary="The coordinator states a fact",
        parameters=_EVENT_PLACE,
    ),
)
