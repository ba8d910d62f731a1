"""The coordinator as the data path sees it: what it asks for, and signed URLs that are fetched ahead and renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, Protocol, TypeVar

import msgspec
import structlog

from agents.datapath.limits import RetryLimits
from agents.datapath.retrying import Retries
from contracts.asks import AbortArtifact, CloseArtifact, DownloadGrant, Grant, MoreParts, OpenArtifact, OpenDownload
from contracts.errors import StrongroomError, error
from contracts.multipart import MAX_PARTS, part_start
from contracts.records import ArtifactRecord
from contracts.wire import utc_now

log = structlog.get_logger()
T = TypeVar("T")

_BATCH: Final = 32
_AHEAD: Final = 3
"""A new batch is asked for when fewer than this many parts beyond the one in hand are signed."""
_MARGIN: Final = timedelta(seconds=30)


class GrantClient(Protocol):
    """Each call raises StrongroomError: the coordinator's own, or Unavailable `bus.unavailable` if it does not answer.

    All of them may be repeated.
    """

    async def open(self, ask: OpenArtifact) -> Grant: ...

    async def more(self, ask: MoreParts) -> Grant: ...

    async def close(self, ask: CloseArtifact) -> ArtifactRecord: ...

    async def abort(self, ask: AbortArtifact) -> None: ...

    async def download(self, ask: OpenDownload) -> DownloadGrant: ...


async def ask_patiently(question: Callable[[], Awaitable[T]], limits: RetryLimits) -> T:
    """The answer; asks again while the coordinator is merely unavailable.  Raises: StrongroomError."""
    retries = Retries(limits)
    while True:
        try:
            return await question()
        except StrongroomError as exc:
            if not exc.retryable:
                raise
            pause_s = retries.next_pause_s()
            if pause_s is None:
                raise
            log.warning("ask.retried", code=exc.code, reason=exc.message, pause_s=round(pause_s, 1))
            await asyncio.sleep(pause_s)


class _Signed(msgspec.Struct, frozen=True):
    url: str
    fresh_until: float
    """By the event loop's clock; a signature may live on for a while after it."""


class PartUrls:
    """Signed URLs of one upload's parts, and how far the project's quota lets the upload go."""

    def __init__(
        self, grants: GrantClient, first: Grant, *, run_id: str, attempt: int, index: int, limits: RetryLimits
    ) -> None:
        self._grants = grants
        self._run_id, self._attempt, self._index = run_id, attempt, index
        self._limits = limits
        self._signed: dict[int, _Signed] = {}
        self._asking = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._in_hand = self._highest = 0
        self._base_part_bytes = first.base_part_bytes
        self._allowed_bytes = 0
        self._take(first)

    async def get(self, number: int, end_bytes: int) -> str:
        """A URL for this part that has not expired as far as this host's clock can tell.

        `end_bytes` is the artifact's stored size up to and including the part.  Raises: Conflict `quota.exceeded` when
        that is more than the coordinator allows, even when it is asked once more, for it may have made room meanwhile.
        """
        self._in_hand = max(self._in_hand, number)
        if not (self._is_fresh(number) and self._has_room(end_bytes)):
            async with self._asking:
                if not self._is_fresh(number):
                    await self._ask(number)
                if not self._has_room(end_bytes):
                    await self._ask(number, count=1)
                if not self._has_room(end_bytes):
                    raise self._no_room(number, end_bytes)
        if self._signed_ahead() < _AHEAD:
            self._wanted.set()
        return self._url(number)

    async def renew(self, number: int, end_bytes: int, stale: str) -> str:
        """A URL for this part other than `stale`, which the store refused; otherwise as `get`."""
        signed = self._signed.get(number)
        if signed is not None and signed.url == stale:
            self.forget(number)
        return await self.get(number, end_bytes)

    def forget(self, number: int) -> None:
        """The part is stored, or the store refused its URL."""
        self._signed.pop(number, None)

    async def keep_ahead(self) -> None:
        """Runs beside the upload until it is cancelled, and asks for the next batch before it is needed."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            first = max(self._highest, self._in_hand) + 1
            if first > MAX_PARTS or self._signed_ahead() >= _AHEAD or not self._has_room(self._end_of(self._highest)):
                # Where the quota ends within the last part that was signed, whoever needs more asks for room.
                continue
            try:
                async with self._asking:
                    await self._ask(first)
            except StrongroomError as exc:
                # Whoever needs the part asks again and then hears the reason.
                log.debug("grant.not_ahead", code=exc.code)

    def _signed_ahead(self) -> int:
        return self._highest - self._in_hand

    def _is_fresh(self, number: int) -> bool:
        signed = self._signed.get(number)
        return signed is not None and asyncio.get_running_loop().time() < signed.fresh_until

    def _has_room(self, end_bytes: int) -> bool:
        return end_bytes <= self._allowed_bytes

    def _end_of(self, number: int) -> int:
        """Where this part ends if it is full."""
        return part_start(self._base_part_bytes, number + 1)

    def _no_room(self, number: int, end_bytes: int) -> StrongroomError:
        return error(
            "quota.exceeded",
            f"the project's quota leaves {self._allowed_bytes} bytes for this artifact, which has {end_bytes} with part "
            f"{number}: delete backups, keep fewer, or raise the quota",
        )

    def _url(self, number: int) -> str:
        signed = self._signed.get(number)
        if signed is None:
            raise error("upload.failed", f"the coordinator did not sign part {number}, which it was asked for")
        return signed.url

    async def _ask(self, first: int, *, count: int = _BATCH) -> None:
        question = MoreParts(
            run_id=self._run_id,
            attempt=self._attempt,
            index=self._index,
            first=first,
            count=min(count, MAX_PARTS - first + 1),
        )
        self._take(await ask_patiently(lambda: self._grants.more(question), self._limits))

    def _take(self, grant: Grant) -> None:
        life_s = (grant.expires_at - _MARGIN - utc_now()).total_seconds()
        # A clock that is wrong must not make every fresh URL look stale: what was just signed is used, the store decides.
        fresh_until = asyncio.get_running_loop().time() + max(life_s, _MARGIN.total_seconds())
        last = 0
        for part in grant.parts:
            self._signed[part.number] = _Signed(part.url, fresh_until)
            last = max(last, part.number)
        self._highest = max(self._highest, last)
        if grant.limit_bytes is not None:
            self._allowed_bytes = grant.limit_bytes
        else:
            # There is room for these parts; of later ones, whose limit is known from other grants, that says nothing.
            self._allowed_bytes = max(self._allowed_bytes, self._end_of(last))
