"""An answer of many bytes whose end is the proof that they are the right ones.

The last piece is held back until its source has ended without an error, and the length is told beforehand: where something
is wrong with the bytes, the connection is closed before the last of them, and every client sees a transfer that failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import structlog
from litestar.types import Receive, Scope, Send

from contracts.errors import StrongroomError
from contracts.tasks import cancel_surely

log = structlog.get_logger()

STALL_S = 120.0
"""A reader that takes nothing for this long is cut off."""
_SEND_BYTES: Final = 256 * 1024

Headers = Sequence[tuple[str, str]]


class BytesAnswer:
    """Begins with what `primed` has seen of the source already."""

    def __init__(
        self, status: int, headers: Headers, seen: Sequence[bytes], rest: AsyncGenerator[bytes, None], **facts: Any
    ) -> None:
        """`facts` are told in the log should it fail."""
        self._status = status
        self._headers = _encoded(headers)
        self._seen = seen
        self._rest = rest
        self._facts = facts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        gone = asyncio.create_task(_gone(receive), name="content:reader")
        try:
            async with aclosing(self._rest):
                await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
                reason = await self._send_all(send, gone)
        finally:
            await cancel_surely(gone)
        if reason:
            # Returning before the end has the server close the connection.
            log.warning("content.aborted", reason=reason, **self._facts)

    async def _send_all(self, send: Send, gone: asyncio.Task[None]) -> str:
        """Why it ended before the end; empty when all was sent."""
        held = b""
        try:
            async for piece in _chained(self._seen, self._rest):
                if held and (reason := await _send_piece(send, gone, held)):
                    return reason
                held = piece
        except StrongroomError as exc:
            return f"{exc.code}: {exc.message}"
        except Exception as exc:
            log.error("content.failed", exc_info=exc)
            return "internal"
        if reason := await _send_piece(send, gone, held):
            return reason
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return ""


class HeadAnswer:
    """What an answer would begin with, for `HEAD`."""

    def __init__(self, status: int, headers: Headers) -> None:
        self._status = status
        self._headers = _encoded(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        await send({"type": "http.response.start", "status": self._status, "headers": self._headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def _encoded(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("ascii")) for name, value in headers]


async def primed(source: AsyncGenerator[bytes, None]) -> list[bytes]:
    """The first two pieces, or fewer where there are no more: nothing is sent before the second is there, so that until
    then whatever is wrong can still be told in words.  Raises: what the source raises, having closed it.
    """
    seen: list[bytes] = []
    try:
        async for piece in source:
            seen.append(piece)
            if len(seen) == 2:
                break
    except BaseException:
        await source.aclose()
        raise
    return seen


async def _chained(seen: Sequence[bytes], rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    for piece in seen:
        yield piece
    async for piece in rest:
        yield piece


async def _send_piece(send: Send, gone: asyncio.Task[None], piece: bytes) -> str:
    view = memoryview(piece)
    for at in range(0, len(view), _SEND_BYTES):
        if gone.done():
            return "the reader went away"
        try:
            async with asyncio.timeout(STALL_S):
                await send({"type": "http.response.body", "body": bytes(view[at : at + _SEND_BYTES]), "more_body": True})
        except TimeoutError:
            return f"the reader took nothing for {STALL_S:.0f} s"
    return ""


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
