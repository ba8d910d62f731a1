"""A lease: of several coordinators, one does what must be done once.

The key's TTL ends a lease whose holder is gone; the holder itself stops earlier, by its own monotonic clock, counted from
before the renewal was sent.  Effects under a lease are compare-and-set all the same: a paused process can always be late.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Coroutine

import msgspec
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts import subjects
from contracts.errors import StrongroomError
from contracts.tasks import cancellable
from daemon.catalog.buckets import RecordBucket, RecordChanged

log = structlog.get_logger()

TTL_S = 12
_RENEW_S = TTL_S / 4
_MARGIN_S = 2.0
_POLL_S = 1.0


class _Holder(msgspec.Struct, frozen=True):
    holder: str


class Lease:
    """One name that at most one process holds."""

    def __init__(self, client: Client, js: JetStreamContext, name: str) -> None:
        self._bucket = RecordBucket(client, js, subjects.LEASES_BUCKET, _Holder)
        self._name = name
        self._me = _Holder(secrets.token_hex(8))
        self._held = False

    @property
    def name(self) -> str:
        return self._name

    @property
    def is_held(self) -> bool:
        """Whether it is ours, as far as is known here."""
        return self._held

    async def lead(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Until cancelled: whenever the lease is ours `work` runs, and is cancelled when it is not any more."""
        while True:
            revision, deadline = await self._acquire()
            log.info("lease.acquired", lease=self._name)
            self._held = True
            try:
                async with asyncio.TaskGroup() as group:
                    job = group.create_task(cancellable(work()), name=f"lease:{self._name}:work")
                    revision = await self._keep(revision, deadline)
                    job.cancel()
            finally:
                self._held = False
                await asyncio.shield(self._give_up(revision))
            log.warning("lease.lost", lease=self._name)

    async def _acquire(self) -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        while True:
            deadline = loop.time() + TTL_S - _MARGIN_S
            try:
                return await self._bucket.create(self._name, self._me, ttl_s=TTL_S), deadline
            except RecordChanged:
                pass
            except StrongroomError as exc:
                log.warning("lease.unavailable", lease=self._name, reason=exc.message)
            await asyncio.sleep(_POLL_S)

    async def _keep(self, revision: int, deadline: float) -> int:
        """Renews until the lease is lost; answers the last revision that was ours."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(_RENEW_S, max(0.0, deadline - loop.time())))
            if loop.time() >= deadline:
                return revision
            sent_at = loop.time()
            try:
                async with asyncio.timeout_at(deadline):
                    revision = await self._bucket.update(self._name, self._me, revision, ttl_s=TTL_S)
                deadline = sent_at + TTL_S - _MARGIN_S
            except RecordChanged:
                return revision
            except (TimeoutError, StrongroomError):
                continue

    async def _give_up(self, revision: int) -> None:
        """Lets the next holder begin at once, if the lease is still ours."""
        try:
            async with asyncio.timeout(2):
                await self._bucket.delete(self._name, revision)
        except (RecordChanged, TimeoutError, StrongroomError):
            return
