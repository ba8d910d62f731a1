"""Reads one object from its first byte to its last, however often the connection breaks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
import structlog
from yarl import URL

from agents.datapath.grants import GrantClient, ask_patiently
from agents.datapath.http import CONNECTION_ERRORS, describe
from agents.datapath.limits import DownloadLimits
from agents.datapath.meter import TransferMeter
from agents.datapath.retrying import Retries
from agents.datapath.store_answers import Next, StoreAnswer, read_answer, read_error_body
from contracts.asks import DownloadGrant, OpenDownload
from contracts.errors import StrongroomError, error

log = structlog.get_logger()

READ_BYTES: Final = 256 * 1024
"""About what is handed on at once: what asyncio reads from a socket at once."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class ObjectReader:
    """Hands every byte of the object to `deliver`, in order and once; `deliver` holds it up when it cannot keep pace."""

    def __init__(
        self,
        http: aiohttp.ClientSession,
        grants: GrantClient,
        question: OpenDownload,
        grant: DownloadGrant,
        *,
        limits: DownloadLimits,
        meter: TransferMeter,
        deliver: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._http = http
        self._grants = grants
        self._question = question
        self._url = grant.url
        self._size = grant.stored_bytes
        self._limits = limits
        self._meter = meter
        self._deliver = deliver
        self._at = 0

    async def run(self) -> None:
        """Returns after the last byte.

        Raises: RunFailed `download.failed`; Unavailable `store.unavailable`; Corrupt `store.missing`, `artifact.corrupt` if
        the object's size is not what it should be; whatever the coordinator says when it is asked for a fresh signature.
        """
        retries = Retries(self._limits.retry)
        renewed = answered = False
        while self._at < self._size:
            began_at = self._at
            outcome = await self._read_on()
            if self._at > began_at:
                retries = Retries(self._limits.retry)
                renewed, answered = False, True
            if outcome is None:
                continue
            if isinstance(outcome, StoreAnswer):
                answered = True
                if outcome.next is Next.REFUSED or (outcome.next is Next.RENEW and renewed):
                    raise self._refused(outcome)
                if outcome.next is Next.RENEW:
                    self._url = (await ask_patiently(lambda: self._grants.download(self._question), self._limits.retry)).url
                    renewed = True
                    continue
            words = outcome.words if isinstance(outcome, StoreAnswer) else outcome
            pause_s = retries.next_pause_s(outcome.retry_after_s if isinstance(outcome, StoreAnswer) else 0.0)
            if pause_s is None:
                code = "download.failed" if answered else "store.unavailable"
                raise error(code, f"{self._what} could not be read in {retries.made} tries; the last: {words}")
            self._meter.retries += 1
            log.warning("download.resumed", at_byte=self._at, reason=words, tries=retries.made, pause_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)
            renewed = False

    @property
    def _what(self) -> str:
        return f"object {self._question.object_key} from byte {self._at} on"

    async def _read_on(self) -> StoreAnswer | str | None:
        """None after the last byte, or else why it ended sooner."""
        try:
            async with asyncio.timeout(self._limits.request_stall_s):
                answer = await self._http.get(
                    URL(self._url, encoded=True),
                    headers={"Range": f"bytes={self._at}-"},
                    allow_redirects=False,
                    read_bufsize=READ_BYTES,
                )
        except CONNECTION_ERRORS as exc:
            return describe(exc)
        async with answer:
            if answer.status not in (200, 206):
                return read_answer(answer.status, answer.headers, await read_error_body(answer))
            self._check_extent(answer)
            while self._at < self._size:
                try:
                    async with asyncio.timeout(self._limits.request_stall_s):
                        data = await answer.content.readany()
                except CONNECTION_ERRORS as exc:
                    return describe(exc)
                if not data:
                    return "the answer ended too soon"
                self._at += len(data)
                self._meter.stored_bytes = self._at
                await self._deliver(data)
        return None

    def _check_extent(self, answer: aiohttp.ClientResponse) -> None:
        """Raises: Corrupt `artifact.corrupt` for an object of another size, RunFailed `download.failed`."""
        if answer.status == 200:
            start, total = 0, answer.content_length
        else:
            match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            start, total = (int(match[1]), int(match[3])) if match else (-1, None)
        if total is not None and total != self._size:
            message = f"object {self._question.object_key} has {total} bytes and should have {self._size}"
            raise error("artifact.corrupt", message)
        if start != self._at or total is None:
            raise error("download.failed", f"{self._what}: the store sent another range than it was asked for")

    def _refused(self, answer: StoreAnswer) -> StrongroomError:
        if answer.status == 404:
            return error("store.missing", f"object {self._question.object_key} is not in the store: {answer.words}")
        if answer.status == 416:
            return error("artifact.corrupt", f"{self._what}: the object is shorter than {self._size} bytes")
        return error("download.failed", f"{self._what}: the store refused: {answer.words}")
