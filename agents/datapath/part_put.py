"""Sends one part until the store has it, or until it is clear that it never will."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import msgspec
import structlog
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from agents.datapath.grants import PartUrls
from agents.datapath.http import CONNECTION_ERRORS, describe
from agents.datapath.limits import UploadLimits
from agents.datapath.meter import TransferMeter
from agents.datapath.places import Place
from agents.datapath.retrying import Retries
from agents.datapath.sealing import SealedPart
from agents.datapath.store_answers import Next, StoreAnswer, read_answer, read_error_body
from contracts.asks import PartReceipt
from contracts.errors import StrongroomError, error

log = structlog.get_logger()

_MD5_ETAG_LENGTH: Final = 32


class PartBody(Payload):
    """A part as the body of a request: streamed slice by slice, from its first byte whenever it is written again."""

    _autoclose = True

    def __init__(self, place: Place, size_bytes: int, moved: Callable[[], None]) -> None:
        super().__init__(place, content_type="application/octet-stream")
        self._size = size_bytes
        self._place = place
        self._moved = moved

    async def write(self, writer: AbstractStreamWriter) -> None:
        async for piece in self._place.slices():
            await writer.write(piece)
            self._moved()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        assert content_length is None or content_length == self._size
        await self.write(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - the base class names them
        raise TypeError("the body of a part is not text")


class _NoAnswer(msgspec.Struct, frozen=True):
    """The connection failed before the store said anything."""

    words: str


class PartSender:
    """Sends the parts of one artifact; `send` may run several times at once."""

    def __init__(self, http: aiohttp.ClientSession, urls: PartUrls, limits: UploadLimits, meter: TransferMeter) -> None:
        self._http = http
        self._urls = urls
        self._limits = limits
        self._meter = meter

    async def send(self, part: SealedPart) -> PartReceipt:
        """The store's receipt, whose ETag is that of the bytes we have.

        Raises: Conflict `quota.exceeded`, before anything of the part is sent; RunFailed `upload.denied`, `upload.failed`;
        Unavailable `store.unavailable`, `store.full`; Corrupt `upload.mismatch`; whatever the coordinator says when it is
        asked for a fresh signature.
        """
        retries = Retries(self._limits.retry)
        url = await self._urls.get(part.number, part.end_bytes)
        renewed = answered = False
        while True:
            # Every second try asks before it sends.  A store that refuses at once closes the connection while we still
            # write, and its reason is lost with it.
            outcome = await self._put(part, url, ask_first=retries.made % 2 == 0)
            if isinstance(outcome, PartReceipt):
                self._urls.forget(part.number)
                self._meter.stored_bytes += part.size_bytes
                self._meter.parts += 1
                return outcome
            if isinstance(outcome, StoreAnswer):
                answered = True
                if outcome.next is Next.REFUSED or (outcome.next is Next.RENEW and renewed):
                    raise error("upload.denied", f"the store refused part {part.number}: {outcome.words}")
                if outcome.next is Next.RENEW:
                    url = await self._urls.renew(part.number, part.end_bytes, url)
                    renewed = True
                    continue
            pause_s = retries.next_pause_s(outcome.retry_after_s if isinstance(outcome, StoreAnswer) else 0.0)
            if pause_s is None:
                raise _given_up(part, outcome, retries.made, answered=answered)
            self._meter.retries += 1
            log.warning(
                "part.retried", part=part.number, reason=outcome.words, tries=retries.made, pause_s=round(pause_s, 1)
            )
            await asyncio.sleep(pause_s)
            url = await self._urls.get(part.number, part.end_bytes)
            renewed = False

    async def _put(self, part: SealedPart, url: str, *, ask_first: bool) -> PartReceipt | StoreAnswer | _NoAnswer:
        loop = asyncio.get_running_loop()
        stall_s = self._limits.request_stall_s
        try:
            async with asyncio.timeout(stall_s) as watchdog:

                def moved() -> None:
                    # When the answer came before the body's end, aiohttp may still be writing and nobody watches any more.
                    with contextlib.suppress(RuntimeError):
                        watchdog.reschedule(loop.time() + stall_s)

                body = PartBody(part.place, part.size_bytes, moved)
                async with self._http.put(
                    URL(url, encoded=True),
                    data=body,
                    headers={"Content-MD5": base64.b64encode(part.md5).decode()},
                    allow_redirects=False,
                    expect100=ask_first,
                ) as answer:
                    if answer.status == 200:
                        return _receipt(part, answer)
                    return read_answer(answer.status, answer.headers, await read_error_body(answer))
        except CONNECTION_ERRORS as exc:
            # An error of the spool reaches us wrapped in one of aiohttp's.
            ours: BaseException | None = exc
            while ours is not None and not isinstance(ours, StrongroomError):
                ours = ours.__cause__
            if ours is not None:
                raise ours from exc
            return _NoAnswer(describe(exc))


def _receipt(part: SealedPart, answer: Any) -> PartReceipt | StoreAnswer:
    etag = answer.headers.get("ETag", "").strip('"')
    looks_like_md5 = len(etag) == _MD5_ETAG_LENGTH and all(digit in "0123456789abcdef" for digit in etag.lower())
    # Stores that encrypt with keys of their own give other ETags; they have checked Content-MD5 all the same.
    if not etag or (looks_like_md5 and etag.lower() != part.md5.hex()):
        words = f"the ETag is {etag or 'missing'}, the MD5 of what was sent {part.md5.hex()}"
        return StoreAnswer(next=Next.DAMAGED, status=answer.status, words=words)
    return PartReceipt(number=part.number, size_bytes=part.size_bytes, etag=etag)


def _given_up(part: SealedPart, outcome: StoreAnswer | _NoAnswer, tries: int, *, answered: bool) -> StrongroomError:
    what = f"part {part.number} could not be stored in {tries} tries; the last: {outcome.words}"
    if isinstance(outcome, StoreAnswer) and outcome.next is Next.DAMAGED:
        return error("upload.mismatch", what)
    if isinstance(outcome, StoreAnswer) and outcome.next is Next.FULL:
        return error("store.full", what)
    return error("upload.failed" if answered else "store.unavailable", what)
