"""A KV bucket of typed records that only ever changes by compare-and-set.

Written on raw JetStream publishes rather than on `nats.js.kv`, because that loses a key's TTL on update, raises other errors
for stale deletes than for stale updates, and cannot tell a lost answer from a lost write.
Source: JetStream ADR-8 (KV), measured in nats-server 2.15.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, StorageType, StreamConfig
from nats.js.errors import (
    APIError,
    BadRequestError,
    NotFoundError,
    ServiceUnavailableError,
)

from contracts.bus import patiently
from contracts.errors import Conflict, InvalidInput, StrongroomError
from contracts.wire import Decoder, encode
from daemon.catalog.inbox import Inbox

T = TypeVar("T")

log = structlog.get_logger()

WRONG_LAST_SEQUENCE: Final = frozenset({10071, 10164})
_TOO_MANY_SUBJECTS: Final = "413"
_PAGE: Final = 1_000
"""Records asked for at once; the server gives at most 1,024, and fewer where they are large."""
_TOMBSTONE_TTL_S: Final = 600
"""Deleted keys leave nothing behind after this; watchers have seen the deletion long before."""


class RecordChanged(Conflict):
    """Somebody else wrote the key since it was read: read it again and decide anew."""

    def __init__(self, bucket: str, key: str) -> None:
        super().__init__("record.changed", f"{bucket}: {key} was changed by somebody else at the same time")


class Stored(msgspec.Struct, Generic[T], frozen=True):
    """A record as it was read, and the revision that a change must name."""

    key: str
    value: T
    revision: int


class Written(msgspec.Struct, Generic[T], frozen=True):
    """What was written to a bucket after some place in it."""

    records: dict[str, Stored[T]]
    """Those that are there now."""
    gone: set[str]
    """Keys that have no record now, or none that can be read."""
    until: int
    """The place that this reaches: to ask from the next time."""
    is_whole: bool = False
    """Whether these are all records that there are: the place was none of this bucket, which was made anew."""


class RecordBucket(Generic[T]):
    """Records of one type under dotted keys.  `ttl_s` of a write is counted anew by each write, and may differ."""

    def __init__(self, client: Client, js: JetStreamContext, bucket: str, type_: type[T]) -> None:
        self._client = client
        self._js = js
        self.name = bucket
        self._stream = f"KV_{bucket}"
        self._prefix = f"$KV.{bucket}."
        self._decoder: Decoder[T] = Decoder(type_)

    @property
    def connections(self) -> int:
        """Which connection to the servers this is: it grows with every one that was lost."""
        return self._client.stats["reconnects"]

    async def get(self, key: str) -> Stored[T] | None:
        """The record under `key`, or None.  Read from the stream's leader, so it is the newest."""
        raw = await self._last(key)
        if raw is None or raw.value is None:
            return None
        return Stored(key, self._decoder.decode(raw.value), raw.revision)

    async def create(self, key: str, value: T, *, ttl_s: int | None = None) -> int:
        """The new record's revision.  Raises: RecordChanged if the key has a record."""
        try:
            return await self._write(key, encode(value), 0, ttl_s=ttl_s)
        except RecordChanged:
            # A deleted key leaves a tombstone behind, which has a revision of its own.
            last = await self._last(key)
            if last is None or last.value is not None:
                raise
            return await self._write(key, encode(value), last.revision, ttl_s=ttl_s)

    async def update(self, key: str, value: T, revision: int, *, ttl_s: int | None = None) -> int:
        """The record's new revision.  Raises: RecordChanged if `revision` is not the last."""
        return await self._write(key, encode(value), revision, ttl_s=ttl_s)

    async def put(self, key: str, value: T, *, ttl_s: int | None = None) -> int:
        """Writes whatever is there: only for facts of which the newest always wins, such as heartbeats."""
        return await self._write(key, encode(value), None, ttl_s=ttl_s)

    async def change(
        self, key: str, apply: Callable[[T], T], *, absent: T | None = None, ttl_s: int | None = None
    ) -> T | None:
        """The record after `apply`, which is tried again on the newest record as often as somebody else was quicker.

        `absent` is what a key without a record begins with; without it nothing happens there, and the answer is None.
        An `apply` that returns the very same record changes nothing.  Raises: whatever `apply` raises.
        """
        while True:
            stored = await self.get(key)
            before = stored.value if stored is not None else absent
            if before is None:
                return None
            after = apply(before)
            if after is before:
                return after
            try:
                await self._write(
                    key, encode(after), stored.revision if stored else await self._last_revision(key), ttl_s=ttl_s
                )
            except RecordChanged:
                continue
            return after

    async def erase(self, key: str, revision: int) -> None:
        """Overwrites the record on disk with noise, in a bucket made for that (`ensure_bucket`); it need not be there."""
        try:
            await patiently(lambda: self._js.delete_msg(self._stream, revision), f"erase {self.name} {key}")
        except (NotFoundError, APIError) as exc:
            if await self.get(key) is not None:
                raise StrongroomError("internal", f"{self.name}: {key} could not be erased: {exc}") from exc

    async def delete(self, key: str, revision: int) -> None:
        """Removes the record and its history.  Raises: RecordChanged if `revision` is not the last."""
        purge = {"KV-Operation": "PURGE", "Nats-Rollup": "sub"}
        await self._write(key, b"", revision, headers=purge, ttl_s=_TOMBSTONE_TTL_S)

    async def select(self, prefix: str = "", *, skip_unreadable: bool = False) -> list[Stored[T]]:
        """All records whose keys begin with the tokens of `prefix`, in order of their keys.

        With `skip_unreadable`, one that cannot be read (a newer version may have written it) is logged and left out.
        Raises: InvalidInput for it otherwise.
        """
        pattern = self._pattern(prefix)
        found = await patiently(lambda: self._batch(pattern), f"select {self.name} {prefix}")
        if found is None:
            found = await patiently(lambda: self._scan(pattern), f"scan {self.name} {prefix}")
        read = (self._read(raw, skip_unreadable=skip_unreadable) for raw in sorted(found, key=lambda raw: raw.key))
        return [stored for stored in read if stored is not None]

    async def written_since(self, place: int, prefix: str = "") -> Written[T]:
        """What was written below `prefix` after `place`, 0 for all there is; what cannot be read is logged and left out.

        Deletions are told for ten minutes only, and that a record's own TTL ended not at all: whoever asked last before that
        has to ask from 0 again, and a bucket whose records expire cannot be followed like this.
        """
        pattern = self._pattern(prefix)
        # From the place itself: an answer that holds nothing at all is looked into.
        found, gone, until = await patiently(lambda: self._scan_from(pattern, max(place, 1)), f"follow {self.name}")
        is_whole = place == 0
        if until < place:
            last = (await patiently(lambda: self._js.stream_info(self._stream), f"look at {self.name}")).state.last_seq
            if last < place:
                found, gone, until = await patiently(lambda: self._scan_from(pattern, 1), f"follow {self.name}")
                is_whole = True
        records: dict[str, Stored[T]] = {}
        for raw in found:
            if raw.revision > place or is_whole:
                stored = self._read(raw, skip_unreadable=True)
                if stored is None:
                    gone.add(raw.key)
                else:
                    records[raw.key] = stored
        return Written(records, gone, until if is_whole else max(until, place), is_whole)

    def _pattern(self, prefix: str) -> str:
        return f"{self._prefix}{prefix}.>" if prefix else f"{self._prefix}>"

    def _read(self, raw: Stored[bytes], *, skip_unreadable: bool) -> Stored[T] | None:
        try:
            return Stored(raw.key, self._decoder.decode(raw.value), raw.revision)
        except InvalidInput as exc:
            if not skip_unreadable:
                raise
            log.error("record.unreadable", bucket=self.name, key=raw.key, field=exc.field, reason=exc.message)
            return None

    async def _last_revision(self, key: str) -> int:
        """Of a key without a record: that of its tombstone, or 0."""
        last = await self._last(key)
        return last.revision if last is not None else 0

    async def _last(self, key: str) -> _Raw | None:
        async def ask() -> _Raw | None:
            try:
                message = await self._js.get_last_msg(self._stream, self._prefix + key)
            except NotFoundError:
                return None
            headers = message.headers or {}
            gone = "KV-Operation" in headers or "Nats-Marker-Reason" in headers
            return _Raw(None if gone else (message.data or b""), message.seq or 0)

        return await patiently(ask, f"read {self.name} {key}")

    async def _write(
        self, key: str, data: bytes, revision: int | None, *, ttl_s: int | None = None, headers: dict[str, str] | None = None
    ) -> int:
        head = dict(headers or {})
        if revision is not None:
            head["Nats-Expected-Last-Subject-Sequence"] = str(revision)
        tries = 0

        async def publish() -> int:
            nonlocal tries
            tries += 1
            ack = await self._js.publish(self._prefix + key, data, headers=head or None, msg_ttl=ttl_s)
            return ack.seq

        try:
            return await patiently(publish, f"write {self.name} {key}")
        except BadRequestError as exc:
            if exc.err_code not in WRONG_LAST_SEQUENCE:
                raise
            # After a lost answer the conflict may be with our own write, which then did happen.
            if tries > 1 and data:
                last = await self._last(key)
                if last is not None and last.value == data:
                    return last.revision
            raise RecordChanged(self.name, key) from exc

    async def _batch(self, pattern: str) -> list[Stored[bytes]] | None:
        """All matches by one request, or None when there are more than the server gives at once: 1,024, or about 64 MB.

        The server ends an answer that grew too large as if it were whole, and says only in `Nats-Num-Pending` of the last
        message how many it left out: a list that is cut off there would lack the newest records.
        """
        async with Inbox(self._client) as inbox:
            request = msgspec.json.encode({"multi_last": [pattern]})
            await self._client.publish(f"$JS.API.DIRECT.GET.{self._stream}", request, reply=inbox.subject)
            found: list[Stored[bytes]] = []
            while True:
                message = await inbox.next()
                headers = message.headers or {}
                status = headers.get("Status")
                if status == _TOO_MANY_SUBJECTS:
                    return None
                if status == "204":
                    return found if int(headers.get("Nats-Num-Pending", 0)) == 0 else None
                if status == "404" and not found:
                    return []
                if status is not None:
                    raise ServiceUnavailableError  # no leader, or a record expired in between: asked again
                if "KV-Operation" not in headers and "Nats-Marker-Reason" not in headers:
                    key = headers["Nats-Subject"].removeprefix(self._prefix)
                    found.append(Stored(key, message.data, int(headers["Nats-Sequence"])))

    async def _scan(self, pattern: str) -> list[Stored[bytes]]:
        """All matches, page by page in the order of the stream.

        Not by a watch: the server tells a watcher how much was pending when it began, and where tombstones expire meanwhile
        the last of that never comes.  A key that is written during the scan moves behind the page, and is found there again.
        """
        found, _, _ = await self._scan_from(pattern, 1)
        return found

    async def _scan_from(self, pattern: str, begin: int) -> tuple[list[Stored[bytes]], set[str], int]:
        """The matches from a sequence on, the keys whose deletion stands there, and the last sequence (0 for none)."""
        found: dict[str, Stored[bytes] | None] = {}
        reached = 0
        more = True
        async with Inbox(self._client) as inbox:
            while more:
                request = msgspec.json.encode({"seq": begin, "next_by_subj": pattern, "batch": _PAGE})
                await self._client.publish(f"$JS.API.DIRECT.GET.{self._stream}", request, reply=inbox.subject)
                last, more = await self._take_page(inbox, found)
                reached = last or reached
                begin = reached + 1
        return (
            [raw for raw in found.values() if raw is not None],
            {name for name, raw in found.items() if raw is None},
            reached,
        )

    async def _take_page(self, inbox: Inbox, found: dict[str, Stored[bytes] | None]) -> tuple[int, bool]:
        """The last sequence of the page (0 for an empty one), and whether there are more; None is found for deleted keys."""
        last = 0
        while True:
            message = await inbox.next()
            headers = message.headers or {}
            status = headers.get("Status")
            if status == "404":
                return 0, False
            if status == "204":
                return last, bool(last and int(headers.get("Nats-Num-Pending", 0)))
            if status is not None:
                raise ServiceUnavailableError
            last = int(headers["Nats-Sequence"])
            key = headers["Nats-Subject"].removeprefix(self._prefix)
            is_gone = "KV-Operation" in headers or "Nats-Marker-Reason" in headers
            # The order of the dict is that of the stream.
            found.pop(key, None)
            found[key] = None if is_gone else Stored(key, message.data, last)


class _Raw(msgspec.Struct, frozen=True):
    value: bytes | None
    """None where the key was deleted."""
    revision: int


async def ensure_bucket(js: JetStreamContext, bucket: str, *, replicas: int, erasable: bool = False) -> None:
    """Creates the bucket if it is absent.

    `erasable`: single revisions can be overwritten with noise on disk (`STREAM.MSG.DELETE`), which a KV bucket made the
    usual way refuses for ever.  History is 1, since TTLs are not kept exactly beside older revisions.
    """
    config = StreamConfig(
        name=f"KV_{bucket}",
        subjects=[f"$KV.{bucket}.>"],
        max_msgs_per_subject=1,
        storage=StorageType.FILE,
        num_replicas=replicas,
        allow_rollup_hdrs=True,
        allow_direct=True,
        allow_msg_ttl=True,
        deny_delete=not erasable,
        discard=DiscardPolicy.NEW,
        duplicate_window=120,
    )
    await ensure_stream(js, config)


async def ensure_stream(js: JetStreamContext, config: StreamConfig) -> None:
    """Creates the stream, or leaves one that exists as its operator has tuned it."""
    assert config.name is not None
    name = config.name

    async def ensure() -> None:
        try:
            await js.stream_info(name)
        except NotFoundError:
            await js.add_stream(config)

    try:
        await patiently(ensure, f"create stream {name}")
    except (APIError, NatsError) as exc:
        raise StrongroomError("internal", f"the stream {name} cannot be created: {exc}") from exc


_KEY_TOKEN = re.compile(r"^[-/_=a-zA-Z0-9]+$")


def key(*tokens: str) -> str:
    """A dotted key; tokens are slugs, ids or numbers, so they never hold a dot."""
    assert all(_KEY_TOKEN.match(token) for token in tokens), tokens
    return ".".join(tokens)
