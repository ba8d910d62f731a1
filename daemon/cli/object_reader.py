"""Reads one object of the store from its first byte to its last, however often the connection breaks."""

from __future__ import annotations

import asyncio
import os
import random
import re
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import aiohttp
import structlog
from yarl import URL

from contracts.errors import StrongroomError, Unavailable, error
from daemon.cli.client import Source
from daemon.cli.http_failures import refusal

log = structlog.get_logger()

STALL_S: Final = 60.0
"""A request that moves nothing for this long is given up and tried again."""
_TRIES: Final = 8
"""In a row without a single byte; every byte that arrives begins a new row."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 15.0
_CONNECT_S: Final = 30.0
_BUFFER_BYTES: Final = 512 * 1024
"""aiohttp holds up to twice this before it stops reading from the socket; that is also the largest chunk."""
_FIRST_LOOK_S: Final = 8.0
"""At a store that need not be within reach, since there is another way."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_S3_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,80})</Code>")
_CONNECTION_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)


def open_http() -> aiohttp.ClientSession:
    """A session for signed URLs: no total timeout, no decoding, no cookies; a proxy is taken from the environment."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        read_bufsize=_BUFFER_BYTES,
        headers={"User-Agent": "strongroom"},
        trust_env=True,
    )


class ObjectReader:
    """Hands every byte of the object to `deliver`, in order and once; `deliver` holds it up when it cannot keep pace."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        what: str,
        url: str,
        size_bytes: int,
        *,
        renew: Callable[[], Awaitable[str]],
        deliver: Callable[[bytes], Awaitable[None]],
        alternative: Source | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`what` names the object in messages; `renew` gives a fresh URL when the signature has run out.

        `alternative`: where the coordinator has the same bytes, should the store be out of reach from here.
        """
        self._http = http
        self._what = what
        self._url = url
        self._size = size_bytes
        self._renew = renew
        self._deliver = deliver
        self._pause = pause
        self._alternative = alternative
        self._headers: Mapping[str, str] = {}
        self._tls: ssl.SSLContext | bool = True
        self._from_coordinator = False
        self._answered = False
        self._renewed = False
        self.at = 0
        """Bytes delivered so far."""

    async def run(self) -> None:
        """Returns after the last byte.

        Raises: RunFailed `download.failed`; Unavailable `store.unavailable` when the store never answered; Corrupt
        `store.missing`, and `artifact.corrupt` if the object's size is not that of its record; what the coordinator says
        where it is read there.
        """
        tries = 0
        while self.at < self._size:
            began_at = self.at
            try:
                words = await self._read_on()
                self._answered = True
            except _NotReached as exc:
                words = str(exc)
                if self._turn_to_coordinator(words):
                    continue
            if self.at > began_at:
                tries, self._renewed = 0, False
            if not words or self.at >= self._size:
                continue
            tries += 1
            if tries >= _TRIES:
                code = "download.failed" if self._answered else "store.unavailable"
                raise error(
                    code, f"{self._what} could not be read in {tries} tries, from byte {self.at} on; the last: {words}"
                )
            log.warning("download.resumed", at_byte=self.at, reason=words, tries=tries)
            longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (tries - 1))
            await self._pause(longest_s / 2 + random.random() * longest_s / 2)  # noqa: S311 - so that many do not return at once

    async def _read_on(self) -> str:
        """Why it ended before the last byte; empty when there is nothing to wait for before going on."""
        patience_s = STALL_S if self._alternative is None else _FIRST_LOOK_S
        try:
            async with asyncio.timeout(patience_s):
                answer = await self._http.get(
                    URL(self._url, encoded=True),
                    headers={"Range": f"bytes={self.at}-", **self._headers},
                    allow_redirects=False,
                    ssl=self._tls,
                )
        except _CONNECTION_ERRORS as exc:
            raise _NotReached(_describe(exc)) from exc
        async with answer:
            if answer.status not in (200, 206):
                return await self._refused(answer)
            try:
                self._check_extent(answer)
            except StrongroomError as exc:
                if self._turn_to_coordinator(exc.message):
                    return ""
                raise
            self._alternative = None
            while self.at < self._size:
                try:
                    async with asyncio.timeout(STALL_S):
                        data = await answer.content.readany()
                except _CONNECTION_ERRORS as exc:
                    return _describe(exc)
                if not data:
                    return "the answer ended too soon"
                if self.at + len(data) > self._size:
                    raise error("artifact.corrupt", f"{self._what} is longer than the {self._size} bytes of its record")
                await self._deliver(data)
                self.at += len(data)
        return ""

    def _turn_to_coordinator(self, why: str) -> bool:
        """Whether there is another way: under the store's address may be nothing from here, or something else."""
        if self._alternative is None:
            return False
        log.info("download.by_coordinator", reason=why)
        self._url, self._headers, self._tls = self._alternative
        self._from_coordinator, self._alternative = True, None
        return True

    def _check_extent(self, answer: aiohttp.ClientResponse) -> None:
        """Raises: Corrupt for another size of the object, RunFailed for another range than was asked for."""
        if answer.status == 200:
            start, total = 0, answer.content_length
        else:
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            start, total = (int(match[1]), int(match[3])) if match else (-1, None)
        if total is not None and total != self._size:
            raise error("artifact.corrupt", f"{self._what} has {total} bytes in the store and {self._size} in its record")
        if start != self.at:
            raise error("download.failed", f"{self._what}: the store sent another range than it was asked for")

    async def _refused(self, answer: aiohttp.ClientResponse) -> str:
        """What a refusal means: try again, ask for a fresh signature once, or give up by raising."""
        status = answer.status
        body = await _beginning(answer)
        if self._from_coordinator:
            error_ = refusal("the coordinator", status, answer.content_type, body)
            if error_.retryable:
                return error_.message
            raise error_
        code = _S3_CODE.search(body)
        words = f"the store answered {status}" + (f" {code[1].decode()}" if code else "")
        if status in (401, 403, 404) and not self._renewed:
            # Stores word an expired signature differently, and an object that is gone is known to the coordinator.
            try:
                self._url = await self._renew()
            except Unavailable as exc:
                return exc.message
            self._renewed = True
            return ""
        if status in (401, 403, 404) and self._turn_to_coordinator(words):
            return ""
        if status == 404:
            raise error("store.missing", f"{self._what} is not in the store")
        if status == 416:
            raise error("artifact.corrupt", f"{self._what} is shorter than the {self._size} bytes of its record")
        if status >= 500 or status in (408, 425, 429) or 300 <= status < 400:
            return words
        raise error("download.failed", f"{self._what} cannot be read: {words}")


class _NotReached(StrongroomError):
    """The store did not answer at all."""

    def __init__(self, words: str) -> None:
        super().__init__("store.unavailable", words)

    def __str__(self) -> str:
        return self.message


async def _beginning(answer: aiohttp.ClientResponse) -> bytes:
    try:
        async with asyncio.timeout(STALL_S):
            return await answer.content.read(8 * 1024)
    except _CONNECTION_ERRORS:
        return b""


def _describe(exc: BaseException) -> str:
    """Why a request failed, without the URL, which aiohttp likes to quote and which is a secret: it is signed."""
    if isinstance(exc, aiohttp.ClientConnectorError):
        inner = exc.os_error
        return f"cannot connect to the store: {os.strerror(inner.errno) if inner.errno else type(inner).__name__}"
    if isinstance(exc, TimeoutError):
        return f"nothing arrived for {STALL_S:.0f} s"
    if isinstance(exc, OSError) and exc.errno:
        return f"the connection broke: {os.strerror(exc.errno)}"
    return f"the connection broke ({type(exc).__name__})"
