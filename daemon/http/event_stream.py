"""An answer that goes on: frames as they come, and a last one that says why it ends.

One task reads the source into a bounded outbox, one sends; whatever ends the answer (the reader goes away or takes nothing,
its token ends, the coordinator stops) ends the source too, and with it what that holds on the servers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import structlog
from litestar.types import Receive, Scope, Send
from nats.errors import Error as NatsError

from contracts.errors import StrongroomError
from contracts.tasks import cancel_surely, cancellable
from contracts.wire import encode
from daemon.access.caller import Caller
from daemon.http.backend import Backend
from daemon.sse import END, HEARTBEAT, MEDIA_TYPE, EndReason, Frame, StreamEnd, encode_frame

log = structlog.get_logger()

HEARTBEAT_S = 15.0
"""Silence after which a comment is sent, for proxies that give up on silent connections."""
RECHECK_S = 30.0
"""A token is looked at again this often."""
SLOW_S = 20.0
"""A reader that takes nothing for this long is cut off."""
_RETRY: Final = b"retry: 2000\n\n"
_MOST_WAITING: Final = 200
"""Frames that were read and not sent; the source waits while there are as many."""
_PIECE_BYTES: Final = 64 * 1024
_HEADERS: Final = (
    (b"content-type", MEDIA_TYPE.encode()),
    (b"cache-control", b"no-store"),
    # Proxies that gather an answer before they pass it on are told not to.  Source: nginx, ngx_http_proxy_module.
    (b"x-accel-buffering", b"no"),
)


class EventStream:
    """The answer of a handler that has checked everything: what goes wrong from here on is a last frame."""

    def __init__(self, backend: Backend, caller: Caller, frames: AsyncGenerator[Frame, None]) -> None:
        self._backend = backend
        self._caller = caller
        self._frames = frames

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        outbox = _Outbox()
        works = {
            "source": self._read(outbox),
            "token": self._watch_token(outbox),
            "stop": self._watch_stop(outbox),
            "reader": _watch_reader(receive, outbox),
        }
        tasks = [asyncio.create_task(cancellable(work), name=f"stream:{name}") for name, work in works.items()]
        try:
            await _Sender(outbox, send, source=tasks[0]).run()
        finally:
            await cancel_surely(*tasks)

    async def _read(self, outbox: _Outbox) -> None:
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    await outbox.put(encode_frame(frame))
        except StrongroomError as exc:
            outbox.end(StreamEnd(reason=EndReason.FAILED, message=exc.message, code=exc.code))
        except Exception as exc:
            log.error("http.stream_failed", exc_info=exc)
            words = "the coordinator met an unknown error; see its log"
            outbox.end(StreamEnd(reason=EndReason.FAILED, message=words, code="internal"))
        else:
            outbox.end(StreamEnd(reason=EndReason.ENDED))

    async def _watch_token(self, outbox: _Outbox) -> None:
        while self._caller.token_id:
            await asyncio.sleep(RECHECK_S)
            try:
                await self._backend.tokens.caller_of(self._caller.token_id, self._caller.via)
            except NatsError:
                continue
            except StrongroomError as exc:
                if not exc.retryable:
                    outbox.end(StreamEnd(reason=EndReason.REFUSED, message=exc.message, code=exc.code))
                    return

    async def _watch_stop(self, outbox: _Outbox) -> None:
        await self._backend.stopping.wait()
        outbox.end(StreamEnd(reason=EndReason.STOPPING, message="the coordinator stops: connect again"))


async def _watch_reader(receive: Receive, outbox: _Outbox) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    outbox.abandon()


class _Outbox:
    """What waits to be sent.  After its end nothing more is taken, and what waited before is still sent."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque([_RETRY])
        self._ended = False
        self.abandoned = False
        """Whether nobody reads any more."""
        self._changed = asyncio.Event()
        self._room = asyncio.Semaphore(_MOST_WAITING)

    async def put(self, data: bytes) -> None:
        """Waits while there is no room."""
        await self._room.acquire()
        if not self._ended:
            self._waiting.append(data)
            self._changed.set()

    def end(self, end: StreamEnd) -> None:
        """The last frame; only the first one counts."""
        if not self._ended:
            self._ended = True
            self._waiting.append(encode_frame(Frame(END, encode(end).decode())))
            self._changed.set()

    def abandon(self) -> None:
        self._ended = self.abandoned = True
        self._waiting.clear()
        self._changed.set()

    def drop(self) -> None:
        """Forgets what waits."""
        self._waiting.clear()

    async def take(self, patience_s: float) -> bytes | None:
        """A piece of what waits; a heartbeat where nothing came for so long; None after the end."""
        while not self._waiting:
            if self._ended:
                return None
            self._changed.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._changed.wait()
            except TimeoutError:
                return HEARTBEAT
        piece = bytearray()
        while self._waiting and len(piece) < _PIECE_BYTES:
            piece += self._waiting.popleft()
            self._room.release()
        return bytes(piece)


class _Sender:
    def __init__(self, outbox: _Outbox, send: Send, *, source: asyncio.Task[None]) -> None:
        self._outbox = outbox
        self._send = send
        self._source = source

    async def run(self) -> None:
        """Returns after the last frame, or when the reader is gone.

        Raises: ReaderGone for one that took nothing for so long that its connection has to be cut.
        """
        while (piece := await self._outbox.take(HEARTBEAT_S)) is not None:
            await self._pass_on({"type": "http.response.body", "body": piece, "more_body": True})
        if not self._outbox.abandoned:
            await self._pass_on({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pass_on(self, message: Any) -> None:
        sending = asyncio.ensure_future(self._send(message))
        try:
            await asyncio.wait({sending}, timeout=SLOW_S)
            if not sending.done():
                await self._give_up_on()
                await asyncio.wait({sending}, timeout=SLOW_S)
            if not sending.done():
                raise ReaderGone
            sending.result()
        finally:
            await cancel_surely(sending)

    async def _give_up_on(self) -> None:
        """Ends the source of a reader that is too slow; should it read again, it is told so."""
        log.info("http.stream_slow")
        self._outbox.drop()
        message = "nothing was read for too long: connect again, and go on after the last id"
        self._outbox.end(StreamEnd(reason=EndReason.SLOW, message=message))
        await cancel_surely(self._source)


class ReaderGone(Exception):
    """The reader takes nothing: the connection is cut."""
