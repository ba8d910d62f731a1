"""An S3 bucket through aiobotocore: multipart uploads that others fill, write-once objects, listing and removal.

Source of names and limits: Amazon S3 API reference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import structlog
from aiobotocore.config import AioConfig

from contracts.asks import PartReceipt
from contracts.errors import Corrupt, InvalidInput, RunFailed, Unavailable
from contracts.policy.locking import ObjectLock
from contracts.settings import load_settings
from daemon.store.durability import sync_filesystem
from daemon.store.errors import AbsentError, ObjectsLocked, OccupiedError, translated
from daemon.store.session import store_session
from daemon.store.settings import StoreCredentials, StoreSettings
from daemon.store.versions import Hold, ObjectVersion, Versions

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_DELETE_BATCH: Final = 1_000

log = structlog.get_logger()


class OpenUpload(msgspec.Struct, frozen=True):
    """A multipart upload that somebody began and nobody has completed."""

    object_key: str
    upload_id: str
    initiated_at: datetime


class ObjectInfo(msgspec.Struct, frozen=True):
    object_key: str
    size_bytes: int
    modified_at: datetime


class ObjectStore:
    """One bucket.  Made by `open_store`; every call raises Unavailable `store.unavailable` when the store is away."""

    def __init__(self, client: S3Client, signer: S3Client, settings: StoreSettings) -> None:
        self._client = client
        self._signer = signer
        self.bucket = settings.bucket
        self.endpoint_url = settings.public_endpoint_url or settings.endpoint_url
        """What others reach it by; empty for Amazon S3 itself."""
        self.region = settings.region
        self._sync_dir = settings.sync_dir
        self.lock_settings = settings.lock
        self.versions = Versions(client, settings.bucket)
        self.keeps_versions = False
        """Whether what is deleted by its name alone would stay; like `can_lock` known once the bucket was looked at."""
        self.can_lock = False
        self.url_lifetime = timedelta(seconds=settings.url_lifetime_s)
        """How long a signed URL works."""

    async def ensure_bucket(self, *, create: bool) -> None:
        """Raises: StrongroomError when the bucket is absent and may not be created."""
        try:
            with translated(f"bucket {self.bucket}"):
                await self._client.head_bucket(Bucket=self.bucket)
        except AbsentError:
            if not create:
                raise InvalidInput(
                    "config.invalid", f"store.bucket: the bucket {self.bucket!r} does not exist", field="store.bucket"
                ) from None
            await self.create_bucket(object_lock=self.lock_settings is not None)
        try:
            self.keeps_versions = await self.versions.are_kept()
            self.can_lock = self.keeps_versions and await self.versions.can_be_locked()
        except RunFailed as exc:
            if self.lock_settings is not None:
                raise
            # Credentials from before there were locks: what worked for them goes on working.
            log.warning("store.rights_missing", bucket=self.bucket, reason=exc.message)
        if self.lock_settings is not None and not self.can_lock:
            raise InvalidInput(
                "config.invalid",
                f"store.lock: the bucket {self.bucket!r} was made without object lock: make another with `strongroom store "
                "create-bucket`, or take the section [store.lock] away",
                field="store.lock",
            )

    async def create_bucket(self, *, object_lock: bool) -> None:
        """Raises: Unavailable, RunFailed `upload.denied`."""
        with translated(f"bucket {self.bucket}"):
            if object_lock:
                await self._client.create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=True)
            else:
                await self._client.create_bucket(Bucket=self.bucket)

    async def begin_upload(self, object_key: str) -> str:
        """The id of a new multipart upload."""
        with translated(object_key):
            answer = await self._client.create_multipart_upload(Bucket=self.bucket, Key=object_key)
        return answer["UploadId"]

    async def make_durable(self) -> None:
        """What was stored so far survives a power cut; nothing to do for a store that sees to that itself."""
        if self._sync_dir:
            try:
                await sync_filesystem(Path(self._sync_dir))
            except OSError as exc:
                raise Unavailable("store.unavailable", f"the disk below the object store failed: {exc}") from exc

    async def sign_part(self, object_key: str, upload_id: str, number: int) -> str:
        """A URL that lets its bearer PUT this one part, for a while."""
        return await self._signer.generate_presigned_url(
            "upload_part",
            Params={"Bucket": self.bucket, "Key": object_key, "UploadId": upload_id, "PartNumber": number},
            ExpiresIn=int(self.url_lifetime.total_seconds()),
        )

    async def sign_get(self, object_key: str) -> str:
        """A URL that lets its bearer GET this one object, ranges included, for a while."""
        return await self._signer.generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": object_key}, ExpiresIn=int(self.url_lifetime.total_seconds())
        )

    async def list_parts(self, object_key: str, upload_id: str) -> list[PartReceipt]:
        """What the store holds of an upload, in order.  Raises: Corrupt `store.missing` if it knows no such upload."""
        found: list[PartReceipt] = []
        marker = 0
        while True:
            with translated(object_key):
                answer = await self._client.list_parts(
                    Bucket=self.bucket, Key=object_key, UploadId=upload_id, PartNumberMarker=marker
                )
            found += [PartReceipt(p["PartNumber"], p["Size"], p["ETag"].strip('"')) for p in answer.get("Parts", [])]
            if not answer.get("IsTruncated"):
                return found
            marker = answer["NextPartNumberMarker"]

    async def complete_upload(self, object_key: str, upload_id: str, parts: Sequence[PartReceipt]) -> None:
        """Makes the parts one object.  Raises: Corrupt `upload.mismatch` when the store holds other parts."""
        with translated(object_key):
            await self._client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=object_key,
                UploadId=upload_id,
                MultipartUpload={"Parts": [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]},
            )

    async def abort_upload(self, object_key: str, upload_id: str) -> None:
        """Nothing of the upload is left; it need not exist."""
        try:
            with translated(object_key):
                await self._client.abort_multipart_upload(Bucket=self.bucket, Key=object_key, UploadId=upload_id)
        except AbsentError:
            return

    async def open_uploads(self, prefix: str) -> AsyncIterator[OpenUpload]:
        """All uploads under `prefix` that are neither complete nor aborted."""
        key_marker, id_marker = "", ""
        while True:
            with translated(prefix):
                answer = await self._client.list_multipart_uploads(
                    Bucket=self.bucket, Prefix=prefix, KeyMarker=key_marker, UploadIdMarker=id_marker
                )
            for upload in answer.get("Uploads", []):
                yield OpenUpload(upload["Key"], upload["UploadId"], upload["Initiated"])
            if not answer.get("IsTruncated"):
                return
            key_marker, id_marker = answer["NextKeyMarker"], answer["NextUploadIdMarker"]

    async def size_of(self, object_key: str) -> int | None:
        """Bytes of the object, or None when there is none."""
        try:
            with translated(object_key):
                answer = await self._client.head_object(Bucket=self.bucket, Key=object_key)
        except AbsentError:
            return None
        return answer["ContentLength"]

    async def read(self, object_key: str, *, first: int = 0, count: int | None = None) -> bytes:
        """Bytes of an object from `first` on, at most `count`.  Raises: Corrupt `store.missing`."""
        span = f"bytes={first}-" if count is None else f"bytes={first}-{first + count - 1}"
        with translated(object_key):
            answer = await self._client.get_object(Bucket=self.bucket, Key=object_key, Range=span)
            async with answer["Body"] as body:
                return await body.read()

    async def write_once(self, object_key: str, data: bytes) -> None:
        """The object with these bytes; one that is there already must have them.

        Raises: Corrupt `upload.mismatch` when another object has the name: nothing is ever overwritten.
        """
        try:
            with translated(object_key):
                await self._client.put_object(Bucket=self.bucket, Key=object_key, Body=data, IfNoneMatch="*")
        except OccupiedError:
            if await self.read(object_key) != data:
                raise Corrupt("upload.mismatch", f"another object stands at {object_key}; it was left as it is") from None

    async def objects(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects under `prefix`, in the order of their names; where the bucket keeps versions, every version, those
        included that a newer one or a delete marker hides."""
        if self.keeps_versions:
            async for version in self.versions.under(prefix):
                if not version.is_marker:
                    yield ObjectInfo(version.object_key, version.size_bytes, version.modified_at)
            return
        token = ""
        while True:
            with translated(prefix):
                if token:
                    answer = await self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, ContinuationToken=token)
                else:
                    answer = await self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
            for item in answer.get("Contents", []):
                yield ObjectInfo(item["Key"], item["Size"], item["LastModified"])
            if not answer.get("IsTruncated"):
                return
            token = answer["NextContinuationToken"]

    async def remove(self, object_keys: Sequence[str], *, leave_locked: bool = False) -> None:
        """None of the objects is left, versions and markers included; they need not exist.

        Raises: Unavailable when the store kept some; ObjectsLocked `backup.locked` when it had to, after all others are
        gone, unless those may be left: they go with the sweep that finds them after their locks have ended.
        """
        if not self.keeps_versions:
            await self._delete([(object_key, "") for object_key in object_keys], leave_locked=leave_locked)
            return
        for object_key in object_keys:
            found = [version async for version in self.versions.under(object_key) if version.object_key == object_key]
            await self._delete_versions(found, leave_locked=leave_locked)

    async def clear(self, prefix: str, *, leave_locked: bool = False) -> int:
        """Nothing under `prefix` is left, open uploads included; answers how many objects there were.

        Raises: as `remove`.
        """
        assert prefix.endswith("/"), "a prefix without its slash would reach into its neighbours"
        async for upload in self.open_uploads(prefix):
            await self.abort_upload(upload.object_key, upload.upload_id)
        if not self.keeps_versions:
            found = [item.object_key async for item in self.objects(prefix)]
            await self.remove(found)
            return len(found)
        versions = [version async for version in self.versions.under(prefix)]
        await self._delete_versions(versions, leave_locked=leave_locked)
        return len({version.object_key for version in versions if not version.is_marker})

    async def held(self, prefix: str) -> Hold | None:
        """What keeps objects under `prefix` from being deleted now, as the store says: None where nothing does."""
        if not self.can_lock:
            return None
        return await self.versions.held([version async for version in self.versions.under(prefix)])

    async def lock(self, object_keys: Sequence[str], wanted: ObjectLock) -> ObjectLock:
        """As `Versions.lock`."""
        return await self.versions.lock(object_keys, wanted)

    async def uncover(self, prefix: str) -> int:
        """Takes away the delete markers that hide objects under `prefix`; answers how many were hidden.

        Whoever may delete but meets a lock leaves nothing but markers: the bytes are all there below them.
        """
        versions = [version async for version in self.versions.under(prefix)]
        there = {version.object_key for version in versions if not version.is_marker}
        markers = [version for version in versions if version.is_marker and version.object_key in there]
        await self._delete([(marker.object_key, marker.version_id) for marker in markers], leave_locked=False)
        return len({marker.object_key for marker in markers})

    async def _delete_versions(self, versions: Sequence[ObjectVersion], *, leave_locked: bool) -> None:
        # Markers last: were they to go first, and a version be locked, an object that was gone would be back.
        ordered = sorted(versions, key=lambda version: version.is_marker)
        await self._delete([(version.object_key, version.version_id) for version in ordered], leave_locked=leave_locked)

    async def _delete(self, objects: Sequence[tuple[str, str]], *, leave_locked: bool) -> None:
        """By name and version; an empty version where the bucket keeps none."""
        kept: list[tuple[str, str, str]] = []
        for start in range(0, len(objects), _DELETE_BATCH):
            batch = objects[start : start + _DELETE_BATCH]
            named = [{"Key": name, "VersionId": version} if version else {"Key": name} for name, version in batch]
            with translated(batch[0][0]):
                answer = await self._client.delete_objects(
                    Bucket=self.bucket,
                    Delete={"Objects": named, "Quiet": True},  # type: ignore[typeddict-item]
                )
            kept += [
                (each.get("Key", ""), each.get("VersionId", ""), f"{each.get('Code')} {each.get('Message')}")
                for each in answer.get("Errors", [])
            ]
        if not kept:
            return
        # Stores have different words for it, so it is the object itself that is asked.
        versions = [ObjectVersion(name, version, 0, datetime.now(UTC)) for name, version, _ in kept if version]
        hold = await self.versions.held(versions) if self.can_lock else None
        if hold is None or hold.objects < len(kept):
            raise Unavailable("store.unavailable", f"the store kept {kept[0][0]}: {kept[0][2]}")
        if not leave_locked:
            raise ObjectsLocked(hold.object_key, hold.objects, hold.until)
        log.warning("objects.locked", object_key=hold.object_key, objects=hold.objects, until=str(hold.until))


@asynccontextmanager
async def open_store(
    settings: StoreSettings, *, watch: Callable[[S3Client], None] | None = None
) -> AsyncIterator[ObjectStore]:
    """The bucket, created if the settings say so; `watch` is given the client before its first call.

    Raises: StrongroomError when it cannot be used.
    """
    credentials = _credentials(settings)
    session = store_session()
    config = AioConfig(
        s3={"addressing_style": "path" if settings.path_style else "virtual"},
        signature_version="s3v4",
        retries={"max_attempts": 5, "mode": "standard"},
        connect_timeout=5,
        read_timeout=60,
        # Checksums that S3 gained in 2024 are refused by some of the compatible stores.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    async with AsyncExitStack() as stack:

        async def client(endpoint_url: str) -> S3Client:
            return await stack.enter_async_context(
                session.create_client(
                    "s3",
                    region_name=settings.region,
                    endpoint_url=endpoint_url or None,
                    aws_access_key_id=credentials.access_key if credentials else None,
                    aws_secret_access_key=credentials.secret_key if credentials else None,
                    verify=settings.ca_file or None,
                    config=config,
                )
            )

        main = await client(settings.endpoint_url)
        if watch is not None:
            watch(main)
        public = settings.public_endpoint_url
        signer = await client(public) if public and public != settings.endpoint_url else main
        store = ObjectStore(main, signer, settings)
        await store.ensure_bucket(create=settings.create_bucket)
        yield store


def _credentials(settings: StoreSettings) -> StoreCredentials | None:
    if not settings.credentials_file:
        return None
    return load_settings(StoreCredentials, Path(settings.credentials_file), env_prefix="STRONGROOM_STORE", environ={})
