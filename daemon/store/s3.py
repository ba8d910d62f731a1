"""An S3 bucket through aiobotocore: multipart uploads that others fill, write-once objects, listing and removal.

Foreign errors are translated here and nowhere else.  Source of names and limits: Amazon S3 API reference.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from contracts.asks import PartReceipt
from contracts.errors import Corrupt, InvalidInput, RunFailed, StrongroomError, Unavailable
from contracts.settings import load_settings
from daemon.store.durability import sync_filesystem
from daemon.store.session import store_session
from daemon.store.settings import StoreCredentials, StoreSettings

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound"})
_PRECONDITION: Final = frozenset({"412", "PreconditionFailed", "ConditionalRequestConflict"})
_DENIED: Final = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
_FULL: Final = frozenset({"QuotaExceeded", "InsufficientStorage", "507"})
_BAD_PARTS: Final = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall"})
_DELETE_BATCH: Final = 1_000


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
        self._sync_dir = settings.sync_dir
        self.url_lifetime = timedelta(seconds=settings.url_lifetime_s)
        """How long a signed URL works."""

    async def ensure_bucket(self, *, create: bool) -> None:
        """Raises: StrongroomError when the bucket is absent and may not be created."""
        try:
            with _translated(f"bucket {self.bucket}"):
                await self._client.head_bucket(Bucket=self.bucket)
        except _AbsentError:
            if not create:
                raise InvalidInput(
                    "config.invalid", f"store.bucket: the bucket {self.bucket!r} does not exist", field="store.bucket"
                ) from None
            with _translated(f"bucket {self.bucket}"):
                await self._client.create_bucket(Bucket=self.bucket)

    async def begin_upload(self, object_key: str) -> str:
        """The id of a new multipart upload."""
        with _translated(object_key):
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
            with _translated(object_key):
                answer = await self._client.list_parts(
                    Bucket=self.bucket, Key=object_key, UploadId=upload_id, PartNumberMarker=marker
                )
            found += [PartReceipt(p["PartNumber"], p["Size"], p["ETag"].strip('"')) for p in answer.get("Parts", [])]
            if not answer.get("IsTruncated"):
                return found
            marker = answer["NextPartNumberMarker"]

    async def complete_upload(self, object_key: str, upload_id: str, parts: Sequence[PartReceipt]) -> None:
        """Makes the parts one object.  Raises: Corrupt `upload.mismatch` when the store holds other parts."""
        with _translated(object_key):
            await self._client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=object_key,
                UploadId=upload_id,
                MultipartUpload={"Parts": [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]},
            )

    async def abort_upload(self, object_key: str, upload_id: str) -> None:
        """Nothing of the upload is left; it need not exist."""
        try:
            with _translated(object_key):
                await self._client.abort_multipart_upload(Bucket=self.bucket, Key=object_key, UploadId=upload_id)
        except _AbsentError:
            return

    async def open_uploads(self, prefix: str) -> AsyncIterator[OpenUpload]:
        """All uploads under `prefix` that are neither complete nor aborted."""
        key_marker, id_marker = "", ""
        while True:
            with _translated(prefix):
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
            with _translated(object_key):
                answer = await self._client.head_object(Bucket=self.bucket, Key=object_key)
        except _AbsentError:
            return None
        return answer["ContentLength"]

    async def read(self, object_key: str, *, first: int = 0, count: int | None = None) -> bytes:
        """Bytes of an object from `first` on, at most `count`.  Raises: Corrupt `store.missing`."""
        span = f"bytes={first}-" if count is None else f"bytes={first}-{first + count - 1}"
        with _translated(object_key):
            answer = await self._client.get_object(Bucket=self.bucket, Key=object_key, Range=span)
            async with answer["Body"] as body:
                return await body.read()

    async def write_once(self, object_key: str, data: bytes) -> None:
        """The object with these bytes; one that is there already must have them.

        Raises: Corrupt `upload.mismatch` when another object has the name: nothing is ever overwritten.
        """
        try:
            with _translated(object_key):
                await self._client.put_object(Bucket=self.bucket, Key=object_key, Body=data, IfNoneMatch="*")
        except _OccupiedError:
            if await self.read(object_key) != data:
                raise Corrupt("upload.mismatch", f"another object stands at {object_key}; it was left as it is") from None

    async def objects(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """All objects under `prefix`."""
        token = ""
        while True:
            with _translated(prefix):
                if token:
                    answer = await self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix, ContinuationToken=token)
                else:
                    answer = await self._client.list_objects_v2(Bucket=self.bucket, Prefix=prefix)
            for item in answer.get("Contents", []):
                yield ObjectInfo(item["Key"], item["Size"], item["LastModified"])
            if not answer.get("IsTruncated"):
                return
            token = answer["NextContinuationToken"]

    async def remove(self, object_keys: Sequence[str]) -> None:
        """None of the objects is left; they need not exist.  Raises: Unavailable when the store kept some."""
        for start in range(0, len(object_keys), _DELETE_BATCH):
            batch = object_keys[start : start + _DELETE_BATCH]
            with _translated(batch[0]):
                answer = await self._client.delete_objects(
                    Bucket=self.bucket, Delete={"Objects": [{"Key": object_key} for object_key in batch], "Quiet": True}
                )
            if errors := answer.get("Errors"):
                first = errors[0]
                raise Unavailable(
                    "store.unavailable", f"the store kept {first.get('Key')}: {first.get('Code')} {first.get('Message')}"
                )

    async def clear(self, prefix: str) -> int:
        """Nothing under `prefix` is left, open uploads included; answers how many objects there were."""
        assert prefix.endswith("/"), "a prefix without its slash would reach into its neighbours"
        async for upload in self.open_uploads(prefix):
            await self.abort_upload(upload.object_key, upload.upload_id)
        found = [item.object_key async for item in self.objects(prefix)]
        await self.remove(found)
        return len(found)


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


class _AbsentError(Corrupt):
    def __init__(self, what: str) -> None:
        super().__init__("store.missing", f"the object store has no {what}")


class _OccupiedError(StrongroomError):
    pass


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        message = str(exc.response.get("Error", {}).get("Message", "")) or code
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _ABSENT:
            raise _AbsentError(what) from exc
        if code in _PRECONDITION:
            raise _OccupiedError("internal", f"an object stands at {what}") from exc
        if code in _BAD_PARTS:
            raise Corrupt("upload.mismatch", f"the store holds other parts of {what} than were sent: {message}") from exc
        if code in _DENIED:
            raise RunFailed("upload.denied", f"the object store refused {what}: {message}") from exc
        if code in _FULL or status == 507:
            raise Unavailable("store.full", f"the object store has no room for {what}: {message}") from exc
        raise Unavailable("store.unavailable", f"the object store could not serve {what}: {message}") from exc
    except (BotoCoreError, OSError, TimeoutError) as exc:
        raise Unavailable("store.unavailable", f"the object store does not answer: {exc}") from exc
