"""Rotation of the master key: a new one, everything that is sealed sealed by it, the old one gone.

    read the source ─▶ new key in front of the old, durable ─▶ every living coordinator says that it seals with the new one
      ─▶ each sealed value opened and sealed anew ─▶ read back ─▶ the new key alone in the source, the old file overwritten

A source with more than one key is a rotation that was cut off, or one that an operator has begun by adding a line: the next
call goes on from there and makes no further key.  A value in an erasable bucket is first written beside its place, then
erased on disk, then written to its place, then erased beside it: at any moment there is one whole copy.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts import subjects
from contracts.errors import Conflict, Denied, StrongroomError
from daemon.catalog.buckets import RecordBucket, RecordChanged, Stored
from daemon.catalog.catalog import Catalog
from daemon.keys.master import MasterKey
from daemon.keys.moving import BESIDE, beside
from daemon.keys.presence import Presence
from daemon.keys.sealed import SealedKind, sealed_kinds
from daemon.keys.sources import KeySource
from daemon.runs.events import EventPublisher

log = structlog.get_logger()

_LOCK: Final = "rotation.master-key"
_LOCK_TTL_S: Final = 30
_CONFIRM_S: Final = 30.0
"""Longer than a coordinator that was killed is still believed to live."""
_ASK_S: Final = 0.2


class _Lock(msgspec.Struct, frozen=True):
    holder: str


def _no_step(_: str) -> None:
    return


class MasterRotation:
    """Of several coordinators one rotates at a time."""

    def __init__(
        self,
        client: Client,
        js: JetStreamContext,
        catalog: Catalog,
        master_key: MasterKey,
        source: KeySource,
        presence: Presence,
        events: EventPublisher,
        now: Callable[[], datetime],
        *,
        confirm_s: float = _CONFIRM_S,
        step: Callable[[str], None] = _no_step,
    ) -> None:
        """`step` is told the name of each step before it is taken."""
        self._locks = RecordBucket(client, js, subjects.LEASES_BUCKET, _Lock)
        self._me = _Lock(secrets.token_hex(8))
        self._kinds = sealed_kinds(catalog)
        self._keys = master_key
        self._source = source
        self._presence = presence
        self._events = events
        self._now = now
        self._confirm_s = confirm_s
        self._step = step
        self._revision = 0

    async def is_owed(self) -> bool:
        """Whether the source holds a key that a rotation has still to take away.  Raises: InvalidInput."""
        return len((await asyncio.to_thread(self._source.read)).key_ids) > 1

    async def rotate(self, *, reason: str, actor: str) -> str:
        """The current key's id, once everything is sealed by it and, in a source that can be rewritten, the old one is gone.

        A rotation that was begun before is finished instead of beginning another.
        Raises: Conflict `key.not_rotated` with what to do, StrongroomError; repeated, it goes on where it stopped.
        """
        await self._lock()
        try:
            keys = await asyncio.to_thread(self._source.read)
            if len(keys.key_ids) == 1:
                self._step("begin")
                keys = keys.with_new()
                await asyncio.to_thread(self._source.write, keys)
            return await self._finish(keys, reason=reason, actor=actor)
        finally:
            await asyncio.shield(self._unlock())

    async def resume(self) -> str | None:
        """At the start: finishes what was cut off, as far as it can be; the current key's id, or None when nothing was owed.

        Raises: as `rotate`.
        """
        if not await self.is_owed():
            return None
        return await self.rotate(reason="a rotation that was cut off", actor="strongroom")

    async def keep(self, every_s: float = 30.0) -> None:
        """Until cancelled: finishes what was cut off, here or on another coordinator.  Wrap it in `cancellable`.

        Only where the old key can be taken away: elsewhere a second line is the operator's, and stays until he removes it.
        """
        while True:
            try:
                if self._source.is_rewritable:
                    await self.resume()
            except StrongroomError as exc:
                log.warning("master_key.rotation_owed", code=exc.code, reason=exc.message)
            await asyncio.sleep(every_s)

    async def _finish(self, keys: MasterKey, *, reason: str, actor: str) -> str:
        # What was read at the begin, whatever else reads the source meanwhile.
        self._keys = keys
        self._step("confirm")
        await self._confirm(keys.key_id)
        for kind in self._kinds:
            if kind.erasable:
                await self._tidy(kind)
        self._step("rewrap")
        # Until a whole look finds nothing: a value sealed just before its coordinator's word may be written just after it.
        while await self._rewrap_all():
            pass
        self._step("destroy")
        await self._renew()
        if self._source.is_rewritable:
            await asyncio.to_thread(self._source.write, keys.current_only())
            await self._presence.state()
        self._step("tell")
        await self._events.publish(
            "master_key.rotated",
            key=keys.key_id,
            at=self._now(),
            actor=actor or None,
            reason=reason,
            facts={"key_id": keys.key_id, "retired": list(keys.key_ids[1:]), "source": self._source.kind},
        )
        log.info("master_key.rotated", key_id=keys.key_id, retired=list(keys.key_ids[1:]), reason=reason)
        return keys.key_id

    async def _confirm(self, key_id: str) -> None:
        """Every living coordinator seals with it.  Raises: Conflict naming how many do not."""
        await self._presence.state()
        clock = asyncio.get_running_loop().time
        deadline = clock() + self._confirm_s
        while lacking := await self._presence.lacking(key_id):
            if clock() > deadline:
                raise Conflict(
                    "key.not_rotated",
                    f"{len(lacking)} of the living coordinators do not seal with the new master key {key_id}: bring the "
                    "source with its new first line to their hosts as well, or stop them; then rotate again",
                )
            await self._renew()
            await asyncio.sleep(_ASK_S)

    async def _rewrap_all(self) -> int:
        """How many values were sealed by another key, and are no more."""
        changed = 0
        for kind in self._kinds:
            for stored in await kind.bucket.select():
                await self._renew_in_time()
                changed += await self._rewrap(kind, stored)
        return changed

    async def _rewrap(self, kind: SealedKind, stored: Stored[Any]) -> bool:
        """Whether it was changed; what no key opens stays as it is, since no rotation can make it worse."""
        record = stored.value
        sealed: bytes = getattr(record, kind.field)
        if self._keys.is_current(sealed):
            return False
        context = kind.context(record)
        try:
            plain = self._keys.open(sealed, context)
        except Denied:
            log.warning("master_key.opens_not", bucket=kind.bucket.name, key=stored.key)
            return False
        fresh = msgspec.structs.replace(record, **{kind.field: self._keys.seal(plain, context)})
        if kind.erasable:
            await self._move(kind, stored, fresh)
        else:
            try:
                await kind.bucket.update(stored.key, fresh, stored.revision)
            except RecordChanged:
                return True  # looked at again in the next pass
        return True

    async def _move(self, kind: SealedKind, stored: Stored[Any], fresh: Any) -> None:
        if await kind.bucket.get(stored.key) is None:
            return  # erased since it was listed
        self._step("beside")
        revision = await kind.bucket.create(beside(stored.key), fresh)
        self._step("erase")
        await kind.bucket.erase(stored.key, stored.revision)
        self._step("place")
        await kind.bucket.create(stored.key, fresh)
        self._step("forget")
        await kind.bucket.erase(beside(stored.key), revision)

    async def _tidy(self, kind: SealedKind) -> None:
        """Puts in place what a rotation that was cut off has left beside it."""
        for stored in await kind.bucket.select(BESIDE):
            place = stored.key.removeprefix(f"{BESIDE}.")
            try:
                await kind.bucket.create(place, stored.value)
            except RecordChanged:
                log.info("master_key.tidied", bucket=kind.bucket.name, key=place)
            await kind.bucket.erase(stored.key, stored.revision)

    async def _lock(self) -> None:
        try:
            self._revision = await self._locks.create(_LOCK, self._me, ttl_s=_LOCK_TTL_S)
        except RecordChanged:
            raise Conflict(
                "key.not_rotated",
                f"another rotation of the master key is under way, or was cut off within the last {_LOCK_TTL_S} s: "
                "try again then",
            ) from None
        self._renewed_at = asyncio.get_running_loop().time()

    async def _renew(self) -> None:
        """Raises: Conflict when the place was lost."""
        try:
            self._revision = await self._locks.update(_LOCK, self._me, self._revision, ttl_s=_LOCK_TTL_S)
        except RecordChanged:
            raise Conflict("key.not_rotated", "the rotation took too long and lost its place: rotate again") from None
        self._renewed_at = asyncio.get_running_loop().time()

    async def _renew_in_time(self) -> None:
        if asyncio.get_running_loop().time() - self._renewed_at > _LOCK_TTL_S / 4:
            await self._renew()

    async def _unlock(self) -> None:
        try:
            await self._locks.delete(_LOCK, self._revision)
        except RecordChanged:
            return
