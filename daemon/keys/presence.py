"""Which coordinators live, and which master keys each of them holds.

Each says so under a key with a TTL and reads the master key's source anew before it does, so that a key that one of them put
into a shared source reaches all within seconds; one that was killed is forgotten with its TTL.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts import subjects
from contracts.errors import StrongroomError
from daemon.catalog.buckets import RecordBucket
from daemon.keys.master import MasterKey
from daemon.keys.sources import KeySource

log = structlog.get_logger()

TTL_S: Final = 20
_EVERY_S: Final = 3.0
_PREFIX: Final = "master-key"


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """One coordinator's word."""

    instance: str
    key_ids: list[str]
    """The current one first."""


class Presence:
    """This coordinator's own word, and those of the others."""

    def __init__(
        self, client: Client, js: JetStreamContext, source: KeySource, master_key: MasterKey, *, every_s: float = _EVERY_S
    ) -> None:
        self._bucket = RecordBucket(client, js, subjects.LEASES_BUCKET, Holding)
        self._source = source
        self._master_key = master_key
        self._every_s = every_s
        self._one = asyncio.Lock()
        self._instance = secrets.token_hex(8)

    @property
    def instance(self) -> str:
        return self._instance

    async def state(self) -> None:
        """Reads the source and says what is held now.  Raises: StrongroomError; what was held before is held on."""
        async with self._one:  # or a slow look would bring back what a later one has seen replaced
            self._master_key.become(await asyncio.to_thread(self._source.read))
            holding = Holding(instance=self._instance, key_ids=list(self._master_key.key_ids))
            await self._bucket.put(self._key, holding, ttl_s=TTL_S)

    async def keep(self) -> None:
        """Until cancelled.  Wrap it in `cancellable`."""
        while True:
            try:
                await self.state()
            except StrongroomError as exc:
                log.warning("master_key.not_stated", code=exc.code, reason=exc.message)
            await asyncio.sleep(self._every_s)

    async def leave(self) -> None:
        """Nobody needs to wait for this coordinator any more."""
        try:
            async with asyncio.timeout(2):
                stored = await self._bucket.get(self._key)
                if stored is not None:
                    await self._bucket.delete(self._key, stored.revision)
        except (TimeoutError, StrongroomError):
            return  # the key's own end will do

    async def lacking(self, key_id: str) -> list[str]:
        """The living coordinators whose current key is another one."""
        holdings = [stored.value for stored in await self._bucket.select(_PREFIX)]
        return [each.instance for each in holdings if each.key_ids[:1] != [key_id]]

    @property
    def _key(self) -> str:
        return f"{_PREFIX}.{self._instance}"
