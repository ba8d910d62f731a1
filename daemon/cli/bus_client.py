"""The coordinator over NATS: verbs are asked, streams are read, by whoever has an operator's nkey."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final, TypeVar
from urllib.parse import urlsplit

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from contracts.bus import connect
from contracts.control import Verb
from contracts.errors import CODES, Denied, ErrorInfo, StrongroomError, Unavailable, from_info
from contracts.events import Event
from contracts.records import AnyRun
from contracts.reports import LogLine
from contracts.settings import NatsSettings
from contracts.subjects import control_subject
from contracts.wire import encode
from daemon import activity
from daemon.cli.client import ANSWER_S, Source, decoder_of, run_record
from daemon.cli.references import RunRef
from daemon.filters import EventFilter, LogFilter
from daemon.news import Numbered, RunNews
from daemon.run_news import run_news

Q = TypeVar("Q")
A = TypeVar("A")

_CONNECT_S: Final = 5.0
_DEFAULT_PORTS: Final = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}
_ERROR_CODE: Final = "Nats-Service-Error-Code"
_ERROR: Final = "Nats-Service-Error"


class BusClient:
    """A `ControlClient`.  `bus` is the connection itself."""

    def __init__(self, bus: Client) -> None:
        self.bus = bus

    async def ask(self, verb: Verb[Q, A], request: Q, *, timeout_s: float = ANSWER_S) -> A:
        """The coordinator's answer.

        Raises: StrongroomError, the coordinator's own or Unavailable `bus.unavailable` when none answers.
        """
        try:
            message = await self.bus.request(control_subject(verb.name), encode(request), timeout=timeout_s)
        except NoRespondersError as exc:
            raise Unavailable(
                "bus.unavailable",
                "no coordinator is running on this NATS server: start one (`strongroom up`, or `strongroom daemon --config "
                "FILE`), then try again",
            ) from exc
        except (NatsTimeoutError, TimeoutError) as exc:
            raise Unavailable(
                "bus.unavailable",
                f"the coordinator did not answer {verb.name} within {timeout_s:.0f} s: it may have done it all the same, so "
                "look before you repeat it",
            ) from exc
        except NatsError as exc:
            raise Unavailable("bus.unavailable", f"the connection to the NATS server broke: {exc}") from exc
        if error := _error_of(message):
            raise error
        answer: A = decoder_of(verb).decode(message.data)
        return answer

    def events(
        self, wanted: EventFilter, *, since: datetime | None = None, follow: bool = True
    ) -> AsyncGenerator[Numbered[Event], None]:
        return activity.events(self.bus, wanted, since=since, follow=follow)

    def log_lines(
        self, wanted: LogFilter, *, since: datetime | None = None, last: int | None = None, follow: bool = True
    ) -> AsyncGenerator[Numbered[LogLine], None]:
        return activity.log_lines(self.bus, wanted, since=since, last=last, follow=follow)

    def run_news(self, ref: RunRef) -> AsyncGenerator[RunNews, None]:
        async def look() -> AnyRun:
            return await run_record(self, ref)

        return run_news(self.bus, look)

    def content_of(self, ref: RunRef, artifact: str) -> Source | None:  # noqa: ARG002 - the bus carries no backups
        return None


@asynccontextmanager
async def connect_operator(settings: NatsSettings) -> AsyncIterator[BusClient]:
    """A connection that fails at once when no server answers, and from then on outlives the server's restarts.

    Raises: InvalidInput, Unavailable `bus.unavailable`, Denied `request.forbidden` for an nkey the server does not know.
    """
    await _check_reachable(settings)
    bus = await _connect(settings)
    # The bus couples both: `wait=False` fails at once but never reconnects, and a run is waited for longer than a restart.
    bus.options["allow_reconnect"] = True
    try:
        yield BusClient(bus)
    finally:
        await bus.close()


async def _connect(settings: NatsSettings) -> Client:
    try:
        async with asyncio.timeout(_CONNECT_S):
            return await connect(settings, name="strongroom operator", wait=False)
    except TimeoutError as exc:
        raise Unavailable(
            "bus.unavailable", f"the NATS server at {settings.url} did not answer within {_CONNECT_S:.0f} s"
        ) from exc
    except Unavailable as exc:
        if "authorization violation" in exc.message.lower():
            raise Denied(
                "request.forbidden",
                f"the NATS server at {settings.url} does not know the operator's nkey in {settings.nkey_file}: put the seed "
                "of an operator that its configuration names there",
                field="nats.nkey_file",
            ) from exc
        if exc.message.endswith(": "):
            # The library's own time ran out, which it says without a word.
            raise Unavailable("bus.unavailable", f"{exc.message}it takes connections and says nothing") from exc
        raise


async def _check_reachable(settings: NatsSettings) -> None:
    """Raises: Unavailable with the reason when none of the servers takes a connection.

    The library goes on trying a server that refuses, without a word; an operator wants to know at once.
    """
    reasons: list[str] = []
    for url in (part.strip() for part in settings.url.split(",") if part.strip()):
        parts = urlsplit(url if "://" in url else f"nats://{url}")
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, writer = await asyncio.open_connection(parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme))
        except TimeoutError:
            reasons.append(f"{url}: no answer within {_CONNECT_S:.0f} s")
        except (OSError, ValueError) as exc:
            reasons.append(f"{url}: {_reason(exc)}")
        else:
            writer.close()
            return
    raise Unavailable(
        "bus.unavailable",
        f"no NATS server answers: {'; '.join(reasons) or 'nats.url is empty'}; is it running, and is nats.url right?",
    )


def _reason(exc: Exception) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    return exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)


def _error_of(message: Msg) -> StrongroomError | None:
    headers = message.headers or {}
    code = headers.get(_ERROR_CODE)
    if code is None:
        return None
    try:
        return from_info(msgspec.json.decode(message.data, type=ErrorInfo))
    except msgspec.MsgspecError:
        # The service's own library answers what the coordinator did not foresee, with a number for a code.
        words = headers.get(_ERROR, code)
        if "MaxPayload" in words:
            words = "the answer is larger than a NATS message may be: ask for less, as with --limit"
        return from_info(ErrorInfo(code=code if code in CODES else "internal", message=words))
