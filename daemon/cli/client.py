"""The coordinator as an operator reaches it, whichever way: `bus_client` over NATS, `http_client` over HTTP."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeVar

from contracts import control
from contracts.control import Verb
from contracts.errors import NotFound
from contracts.records import AnyRun
from contracts.wire import Decoder
from daemon.cli.references import RunRef

if TYPE_CHECKING:
    from contracts.events import Event
    from contracts.reports import LogLine
    from daemon.filters import EventFilter, LogFilter
    from daemon.news import Numbered, RunNews

Q = TypeVar("Q")
A = TypeVar("A")

ANSWER_S: Final = 30.0
"""Longer than the coordinator rides out an election of its own servers."""
_LOOK_S: Final = 10.0

_decoders: dict[str, Decoder[Any]] = {}


class Source(NamedTuple):
    """Where the coordinator itself serves an object, and what has to be shown for it."""

    url: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | bool = True
    """Whom the server has to be known by."""


class ControlClient(Protocol):
    """Asks control verbs, and listens to what happens.

    The iterators end what they hold on the servers when they are closed: use `contextlib.aclosing`.  Those that follow
    outlive restarts of coordinators and servers.
    """

    async def ask(self, verb: Verb[Q, A], request: Q, *, timeout_s: float = ANSWER_S) -> A:
        """The coordinator's answer.

        Raises: StrongroomError: its own, and Unavailable `bus.unavailable` or `http.unavailable` when none answers.
        """
        ...

    def events(
        self, wanted: EventFilter, *, since: datetime | None = None, follow: bool = True
    ) -> AsyncGenerator[Numbered[Event], None]:
        """Those stored since a time, and with `follow` those that come, without an end.  Raises: StrongroomError."""
        ...

    def log_lines(
        self, wanted: LogFilter, *, since: datetime | None = None, last: int | None = None, follow: bool = True
    ) -> AsyncGenerator[Numbered[LogLine], None]:
        """Those that are kept, all, since a time or the newest so many, and with `follow` those that come.  Raises: as
        `events`."""
        ...

    def run_news(self, ref: RunRef) -> AsyncGenerator[RunNews, None]:
        """A backup or restore as it goes: `daemon.run_news`.  Raises: NotFound, StrongroomError."""
        ...

    def content_of(self, ref: RunRef, artifact: str) -> Source | None:
        """Where an artifact's stored object can be read if the store itself is out of reach; None where nowhere."""
        ...


def decoder_of(verb: Verb[Any, Any]) -> Decoder[Any]:
    """Of the verb's answers."""
    if verb.name not in _decoders:
        _decoders[verb.name] = Decoder(verb.answer)
    return _decoders[verb.name]


async def run_record(client: ControlClient, ref: RunRef) -> AnyRun:
    """The backup of that id, or else the restore.  Raises: NotFound."""
    request = control.RunRefRequest(project=ref.project, service=ref.service, id=ref.id)
    try:
        return await client.ask(control.BACKUP_RECORD, request, timeout_s=_LOOK_S)
    except NotFound as exc:
        if exc.code != "backup.not_found":
            raise
    try:
        return await client.ask(control.RESTORE_SHOW, request, timeout_s=_LOOK_S)
    except NotFound:
        raise NotFound(
            "backup.not_found", f"{ref.project}/{ref.service} has no backup or restore {ref.id}", field="run"
        ) from None
