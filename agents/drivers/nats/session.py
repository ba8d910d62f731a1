"""One connection to a NATS server, for one piece of work: it does not come back by itself, and tells at once what broke it.

A missing right is no answer in NATS but an error that arrives on its own, while the question would wait for its timeout:
whatever waits here waits for that as well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.errors import connect_failed, connection_lost, denied, no_answer, no_jetstream, refused
from agents.drivers.nats.login import login_options
from agents.processes import uncancelled
from contracts.errors import RunFailed

T = TypeVar("T")

CLIENT_NAME: Final = "strongroom-agent"
INBOX_PREFIX: Final = "_INBOX.strongroom"
"""Below the usual one, so that a user who may subscribe to `_INBOX.>` needs nothing else; one who may only to this
cannot read what is answered to others."""
REQUEST_TIMEOUT_S: Final = 15.0
CONNECT_TIMEOUT_S: Final = 5.0
_CLOSE_TIMEOUT_S: Final = 1.0
_RETRY_WAIT_S: Final = 0.1
_REMEMBERED: Final = 64
"""Subjects, to name the one that was refused."""
_PING_INTERVAL_S: Final = 10
"""A dead peer is noticed after two of these."""


class Session:
    """Made by `open_session`.

    All calls raise: RunFailed `engine.unreachable`, `engine.permission`, `engine.degraded`, ApiRefused.
    """

    def __init__(self, client: Client, connection: NATSConnection) -> None:
        self.client = client
        self.place = connection.place
        self._domain = connection.domain
        self._api = f"$JS.{connection.domain}.API" if connection.domain else "$JS.API"
        self._asked: deque[str] = deque(maxlen=_REMEMBERED)
        self._words = ""
        self._broken: asyncio.Future[RunFailed] = asyncio.get_running_loop().create_future()

    @property
    def version(self) -> str:
        """Of the server at the other end, such as `2.15.1`."""
        server = self.client.connected_server_version
        try:
            return f"{server.major}.{server.minor}.{server.patch}"
        except ValueError:
            return ""

    @property
    def version_pair(self) -> tuple[int, int]:
        """(major, minor); zeros for a server that does not tell."""
        server = self.client.connected_server_version
        try:
            return int(server.major), int(server.minor)
        except ValueError:
            return 0, 0

    async def ask(
        self, verb: str, body: object = None, *, doing: str, timeout_s: float = REQUEST_TIMEOUT_S
    ) -> dict[str, Any]:
        """JetStream's answer to a request such as `STREAM.INFO.orders`; `doing` completes "while …" in errors."""
        subject = f"{self._api}.{verb}"
        payload = msgspec.json.encode(body) if body is not None else b""
        self._asked.append(subject)
        try:
            message = await self.guard(self.client.request(subject, payload, timeout=timeout_s))
        except NoRespondersError as exc:
            raise no_jetstream(self.place, self._domain) from exc
        except NatsTimeoutError as exc:
            raise no_answer(doing, self.place, timeout_s) from exc
        except NatsError as exc:
            raise await self.lost(exc) from exc
        return self.answer(message.data, doing)

    def answer(self, data: bytes, doing: str) -> dict[str, Any]:
        """An API answer.  Raises: ApiRefused when it is an error."""
        try:
            found = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError as exc:
            what = f"JetStream at {self.place} gave an answer that cannot be understood while {doing}: {exc}"
            raise RunFailed("engine.refused", what) from exc
        if "error" in found:
            raise refused(found["error"], doing, self.place)
        return found

    async def publish(self, subject: str, payload: bytes | memoryview = b"", reply: str = "") -> None:
        """Returns when the message is on its way; whether it may be published shows later, as an error of the session."""
        self._asked.append(subject)
        try:
            await self.guard(self.client.publish(subject, bytes(payload), reply=reply))
        except NatsError as exc:
            raise await self.lost(exc) from exc

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """The work's result, or what broke the session meanwhile.

        In a task of its own, since the library swallows a cancellation that meets it at the wrong moment.
        """
        task = asyncio.ensure_future(work)
        try:
            waiting: set[asyncio.Future[Any]] = {task, self._broken}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            if not task.done():
                task.add_done_callback(_forget)
                task.cancel()
        raise self._broken.result()

    def check(self) -> None:
        """Raises: RunFailed, if something has broken the session."""
        if self._broken.done():
            raise self._broken.result()

    async def lost(self, exc: Exception) -> RunFailed:
        """What to say about an error of the client library: mostly that the connection is gone."""
        await asyncio.sleep(0)  # its own callbacks know better why
        return self._broken.result() if self._broken.done() else connection_lost(self.place, str(exc) or self._words)

    async def note_error(self, exc: Exception) -> None:
        """For the library: called with what happens beside all calls."""
        self._words = str(exc) or type(exc).__name__
        missing = denied(self._words, self._asked, self.place)
        if missing is not None:
            self._break(missing)

    async def note_closed(self) -> None:
        """For the library: called when the connection is gone."""
        self._break(connection_lost(self.place, self._words))

    def _break(self, reason: RunFailed) -> None:
        if not self._broken.done():
            self._broken.set_result(reason)


@asynccontextmanager
async def open_session(connection: NATSConnection) -> AsyncIterator[Session]:
    """A connection that goes with its context.

    Raises: RunFailed `engine.unreachable`, `engine.auth_failed`; InvalidInput `config.invalid`.
    """
    options = login_options(connection)
    client = Client()
    session = Session(client, connection)
    try:
        await _connect(client, session, connection, options)
        yield session
    finally:
        await uncancelled(_close(client), name="nats:close")


async def _connect(client: Client, session: Session, connection: NATSConnection, options: dict[str, Any]) -> None:
    failures: list[str] = []

    async def on_error(exc: Exception) -> None:
        failures.append(str(exc) or type(exc).__name__)
        await session.note_error(exc)

    connecting = asyncio.create_task(
        client.connect(
            list(connection.url),
            name=CLIENT_NAME,
            inbox_prefix=INBOX_PREFIX,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=_RETRY_WAIT_S,  # type: ignore[arg-type]  # a number of seconds, used as such
            connect_timeout=int(CONNECT_TIMEOUT_S),
            ping_interval=_PING_INTERVAL_S,
            error_cb=on_error,
            closed_cb=session.note_closed,
            **options,
        ),
        name="nats:connect",
    )
    try:
        done, _ = await asyncio.wait({connecting}, timeout=CONNECT_TIMEOUT_S)
        if not done:
            raise connect_failed("it did not answer in time", connection.place)
        try:
            connecting.result()
        except (NatsError, OSError, TimeoutError, ValueError) as exc:
            raise connect_failed("; ".join(dict.fromkeys([*failures, str(exc)]))[-2000:], connection.place) from exc
    finally:
        connecting.cancel()
        await _ended_within(connecting, _CLOSE_TIMEOUT_S)


async def _close(client: Client) -> None:
    """Also after a connect that failed: the library leaves the socket of a login that was refused open.

    Within a moment, whatever the library waits for: it would for ever after a TLS handshake that failed.
    """
    closing = asyncio.create_task(client.close(), name="nats:close")
    await _ended_within(closing, _CLOSE_TIMEOUT_S)


async def _ended_within(task: asyncio.Task[None], timeout_s: float) -> None:
    """Returns when the task has ended, by itself or, after a while, cancelled; in any case soon."""
    await asyncio.wait({task}, timeout=timeout_s)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=timeout_s)
    if task.done() and not task.cancelled():
        task.exception()  # of no interest any more


def _forget(task: asyncio.Future[Any]) -> None:
    if not task.cancelled():
        task.exception()  # of no interest: what broke the session was told
