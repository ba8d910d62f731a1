"""Taking a stream's snapshot: the server sends chunks to an inbox and waits for an answer to each.

It aborts after 5 s without one (2 s before 2.11), so an answer must not wait for a store; and it sends at most 8 MiB
ahead, which bounds what waits here.  Source: nats-server, server/jetstream_api.go, `streamSnapshot`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from agents.drivers.nats.errors import NOT_FOUND, ApiRefused
from agents.drivers.nats.session import Session
from agents.drivers.nats.streams import StreamState
from contracts.errors import RunFailed

CHUNK_BYTES: Final = 512 * 1024
_CHECKING_TIMEOUT_S: Final = 3600.0
"""Servers before 2.15 read the whole stream for damage before they answer."""
_SILENCE_S: Final = 60.0
_SUCCESS: Final = "204"


class Snapshot:
    """A snapshot under way.  `chunks` may be called once."""

    def __init__(self, session: Session, stream: str, answer: dict[str, Any], arriving: asyncio.Queue[Msg]) -> None:
        self._session = session
        self._stream = stream
        self._arriving = arriving
        self.description: dict[str, Any] = {key: answer[key] for key in ("config", "state") if key in answer}
        """What `backup.json` holds: the stream's configuration and state at the moment of the snapshot."""
        self.state = msgspec.convert(answer.get("state") or {}, StreamState)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The archive; the server is told that a chunk is taken when the next one is asked for.

        Raises: RunFailed `dump.failed`, `dump.stalled`, `engine.*`.
        """
        while True:
            message = await self._next()
            if not message.data:
                self._require_success(message)
                return
            yield message.data
            if message.reply:
                await self._session.publish(message.reply)

    async def _next(self) -> Msg:
        self._session.check()
        if not self._arriving.empty():
            return self._arriving.get_nowait()
        try:
            async with asyncio.timeout(_SILENCE_S):
                return await self._session.guard(self._arriving.get())
        except TimeoutError:
            what = f"the snapshot of stream {self._stream!r} stopped: NATS sent nothing for {_SILENCE_S:g} s"
            raise RunFailed("dump.stalled", f"{what}; see the server's log") from None

    def _require_success(self, message: Msg) -> None:
        """No status at all is a success as well: the server gives none when the snapshot fits into one chunk."""
        headers = message.headers or {}
        status, description = headers.get("Status", ""), headers.get("Description", "")
        if not status or status.startswith(_SUCCESS):
            return
        words = f"{status} {description}".strip()
        if status == "408":
            why = "it got no answers in time: the network to it, or this host, was too slow"
        else:
            why = "see its words below and its log"
        raise RunFailed("dump.failed", f"NATS broke off the snapshot of stream {self._stream!r}: {why}", detail=words)


@asynccontextmanager
async def open_snapshot(session: Session, stream: str, *, consumers: bool) -> AsyncIterator[Snapshot]:
    """A snapshot, with all integrity checks that the server has; leaving tells the server to stop.

    Raises: RunFailed `dump.failed`, `dump.incomplete` for a stream that is gone, `engine.*`.
    """
    arriving: asyncio.Queue[Msg] = asyncio.Queue()
    inbox = session.client.new_inbox()

    async def arrived(message: Msg) -> None:
        arriving.put_nowait(message)

    try:
        # Bounded by the server's window, and by nothing that would drop chunks in silence.
        subscription = await session.guard(
            session.client.subscribe(inbox, cb=arrived, pending_msgs_limit=0, pending_bytes_limit=0)
        )
    except NatsError as exc:
        raise await session.lost(exc) from exc
    try:
        yield Snapshot(session, stream, await _request(session, stream, inbox, consumers=consumers), arriving)
    finally:
        with suppress(NatsError):  # the connection is gone: there is nothing to end
            await subscription.unsubscribe()


async def _request(session: Session, stream: str, inbox: str, *, consumers: bool) -> dict[str, Any]:
    request = {
        "deliver_subject": inbox,
        "no_consumers": not consumers,
        "jsck": True,
        "chunk_size": CHUNK_BYTES,
    }
    doing = f"taking the snapshot of stream {stream!r}"
    try:
        return await session.ask(f"STREAM.SNAPSHOT.{stream}", request, doing=doing, timeout_s=_CHECKING_TIMEOUT_S)
    except ApiRefused as exc:
        if exc.err_code == NOT_FOUND:
            what = f"stream {stream!r} was deleted since the backup was planned: run it again"
            raise RunFailed("dump.incomplete", what, detail=exc.detail) from exc
        if exc.code != "engine.refused":
            raise
        what = f"NATS could not take the snapshot of stream {stream!r}: {exc.words}"
        raise RunFailed("dump.failed", f"{what}; see its log", detail=exc.detail) from exc
