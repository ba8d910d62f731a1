"""Buckets that keep versions, and those that lock them: what lies there, what holds it, and how it is locked.

In such a bucket an object that is deleted by its name alone only gets a delete marker on top, and all its bytes stay.  So
what is to be gone is removed version by version, markers included, and what is counted is counted with all versions.
Nothing here ever asks a store to bypass a lock.  Source: Amazon S3 user guide, Object Lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec
from botocore.exceptions import ClientError

from contracts.errors import Unavailable
from contracts.policy.locking import LockMode, ObjectLock
from daemon.store.errors import AbsentError, translated

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_AT_ONCE: Final = 16
"""Questions about single objects that are under way at the same time."""
_NO_LOCK: Final = frozenset({"ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "404"})
_NOT_KNOWN: Final = frozenset({"NotImplemented", "MethodNotAllowed", "InvalidRequest", "501", "405"})
"""What stores answer that have never heard of versions or locks."""


class ObjectVersion(msgspec.Struct, frozen=True):
    """One version of an object, or a marker that hides those below it."""

    object_key: str
    version_id: str
    size_bytes: int
    modified_at: datetime
    is_marker: bool = False
    is_latest: bool = True


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Why something cannot be deleted now."""

    object_key: str
    until: datetime | None
    """None for a legal hold, which has no end of its own."""
    mode: LockMode | None
    objects: int = 1
    """How many are held."""


class Versions:
    """The versions of one bucket."""

    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    async def are_kept(self) -> bool:
        """Whether the bucket keeps versions, or has kept them once.

        Raises: RunFailed `upload.denied` where the credentials may not ask: then bytes could be left behind unseen.
        """
        try:
            answer = await self._client.get_bucket_versioning(Bucket=self._bucket)
        except ClientError as exc:
            if _code(exc) in _NOT_KNOWN:
                return False
            with translated(f"the versioning of bucket {self._bucket}"):
                raise
        return answer.get("Status") in ("Enabled", "Suspended")

    async def can_be_locked(self) -> bool:
        """Whether the bucket was made with object lock.  Raises: RunFailed `upload.denied`."""
        return (await self.default_retention())[0]

    async def default_retention(self) -> tuple[bool, str]:
        """Whether objects can be locked, and what the bucket locks by itself, such as `GOVERNANCE 30 days`."""
        try:
            answer = await self._client.get_object_lock_configuration(Bucket=self._bucket)
        except ClientError as exc:
            if _code(exc) in _NO_LOCK | _NOT_KNOWN:
                return False, ""
            with translated(f"the object lock of bucket {self._bucket}"):
                raise
        configuration = answer.get("ObjectLockConfiguration", {})
        rule: Any = configuration.get("Rule", {}).get("DefaultRetention", {})
        span = f"{rule['Days']} days" if rule.get("Days") else f"{rule['Years']} years" if rule.get("Years") else ""
        return configuration.get("ObjectLockEnabled") == "Enabled", f"{rule.get('Mode', '')} {span}".strip()

    async def under(self, prefix: str) -> AsyncIterator[ObjectVersion]:
        """All versions and markers under `prefix`, page by page in the order of their names."""
        key_marker, version_marker = "", ""
        while True:
            with translated(prefix):
                answer = await self._client.list_object_versions(
                    Bucket=self._bucket, Prefix=prefix, KeyMarker=key_marker, VersionIdMarker=version_marker
                )
            found = [
                ObjectVersion(
                    each["Key"], each["VersionId"], each["Size"], each["LastModified"], is_latest=each.get("IsLatest", True)
                )
                for each in answer.get("Versions", [])
            ]
            found += [
                ObjectVersion(
                    each["Key"],
                    each["VersionId"],
                    0,
                    each["LastModified"],
                    is_marker=True,
                    is_latest=each.get("IsLatest", True),
                )
                for each in answer.get("DeleteMarkers", [])
            ]
            for version in sorted(found, key=lambda each: each.object_key):
                yield version
            if not answer.get("IsTruncated"):
                return
            key_marker, version_marker = answer["NextKeyMarker"], answer.get("NextVersionIdMarker", "")

    async def store_now(self) -> datetime:
        """The moment by the store's own clock, from the answer's Date header.  Raises: Unavailable where it has none."""
        with translated(f"bucket {self._bucket}"):
            answer = await self._client.head_bucket(Bucket=self._bucket)
        text = answer["ResponseMetadata"].get("HTTPHeaders", {}).get("date", "")
        try:
            return parsedate_to_datetime(text).astimezone(UTC)
        except ValueError as exc:
            raise Unavailable("store.unavailable", f"the object store's answer has no time: {text!r}") from exc

    async def held(self, versions: Sequence[ObjectVersion]) -> Hold | None:
        """What keeps any of these from being deleted now, by the store's clock: the one that holds longest."""
        whole = [version for version in versions if not version.is_marker]
        if not whole:
            return None
        now = await self.store_now()
        holds = [hold for hold in await _gather(whole, self._hold) if hold and (hold.until is None or hold.until > now)]
        if not holds:
            return None
        longest: Hold = max(holds, key=lambda hold: (hold.until is None, hold.until or now))
        return msgspec.structs.replace(longest, objects=len(holds))

    async def lock(self, object_keys: Sequence[str], wanted: ObjectLock) -> ObjectLock:
        """Locks the newest version of each object at least until then; what they have in common afterwards.

        A lock that is longer already stays, and its mode too.  Safe to repeat.
        Raises: Corrupt `store.missing`, RunFailed `upload.denied` where the credentials may not.
        """

        async def lock_one(object_key: str) -> ObjectLock:
            with translated(object_key):
                head = await self._client.head_object(Bucket=self._bucket, Key=object_key)
            present = _lock_of(head, wanted.since)
            if present is not None and present.until >= wanted.until:
                return present
            mode = present.mode if present is not None else wanted.mode
            with translated(f"to lock {object_key}"):
                await self._client.put_object_retention(
                    Bucket=self._bucket,
                    Key=object_key,
                    VersionId=head["VersionId"],
                    Retention={
                        "Mode": "COMPLIANCE" if mode is LockMode.COMPLIANCE else "GOVERNANCE",
                        "RetainUntilDate": wanted.until,
                    },
                )
            return ObjectLock(mode=mode, until=wanted.until, since=wanted.since)

        locks = await _gather(object_keys, lock_one)
        weakest = LockMode.GOVERNANCE if any(each.mode is LockMode.GOVERNANCE for each in locks) else LockMode.COMPLIANCE
        return ObjectLock(mode=weakest, until=min(each.until for each in locks), since=wanted.since)

    async def _hold(self, version: ObjectVersion) -> Hold | None:
        try:
            with translated(version.object_key):
                head = await self._client.head_object(
                    Bucket=self._bucket, Key=version.object_key, VersionId=version.version_id
                )
        except AbsentError:
            return None
        lock = _lock_of(head, version.modified_at)
        if head.get("ObjectLockLegalHoldStatus") == "ON":
            return Hold(object_key=version.object_key, until=None, mode=lock.mode if lock else None)
        return Hold(object_key=version.object_key, until=lock.until, mode=lock.mode) if lock is not None else None


def _lock_of(head: Any, since: datetime) -> ObjectLock | None:
    mode, until = head.get("ObjectLockMode"), head.get("ObjectLockRetainUntilDate")
    if not mode or until is None:
        return None
    return ObjectLock(mode=LockMode(mode.lower()), until=until.astimezone(UTC), since=since)


async def _gather(items: Sequence[Any], each: Any) -> list[Any]:
    found: list[Any] = []
    for start in range(0, len(items), _AT_ONCE):
        found += await asyncio.gather(*(each(item) for item in items[start : start + _AT_ONCE]))
    return found


def _code(exc: ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))
