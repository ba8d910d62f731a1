"""A coordinator for data path tests: grants on a real store, and a memory of what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from contracts.age import Identity, Recipient, make_header, parse_header, unwrap_file_key
from contracts.asks import (
    AbortArtifact,
    CloseArtifact,
    DownloadGrant,
    Grant,
    MoreParts,
    OpenArtifact,
    OpenDownload,
    SignedPart,
)
from contracts.errors import error
from contracts.multipart import MIB
from contracts.records import ArtifactRecord
from tests.servers.s3 import Bucket

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

T = TypeVar("T")
RUN_ID = "20261122T000512Z-k7xq"


class PartsWithin(NamedTuple):
    """Which parts a quota lets be granted, and the limit that a grant of them tells."""

    numbers: range
    told_bytes: int | None


def parts_within(limit_bytes: int | None, base: int, first: int, count: int) -> PartsWithin:
    """Those parts that begin below the limit.  For uploads of few parts.  Raises: Conflict `quota.exceeded` if none does."""
    end = first + count
    if limit_bytes is None:
        return PartsWithin(range(first, end), None)
    if (first - 1) * base >= limit_bytes:
        raise error("quota.exceeded", f"no room for part {first}")
    end = min(end, -(-limit_bytes // base) + 1)
    return PartsWithin(range(first, end), limit_bytes if (end - 1) * base > limit_bytes else None)


class FakeCoordinator:
    """Implements `GrantClient`.  `front` is where signed URLs lead, such as a faulty proxy; by default the store itself."""

    def __init__(self, client: S3Client, signer: S3Client, bucket: Bucket) -> None:
        self._client = client
        self._signer = signer
        self.bucket = bucket
        self.project = Identity.generate()
        self.node = Identity.generate()
        self.base_part_bytes = 8 * MIB
        self.first_batch = 4
        self.limit_bytes: int | None = None
        """Where the project's quota ends, for each artifact."""
        self.url_lifetime_s = 3600
        self.claimed_lifetime_s: float | None = None
        """What grants say of their life, where that is not the truth."""
        self.asked: list[object] = []
        self.aborted = asyncio.Event()
        self.on_more: Callable[[MoreParts], None] = lambda _: None
        self._uploads: dict[int, tuple[OpenArtifact, str, str]] = {}

    @property
    def recipients(self) -> list[Recipient]:
        return [self.project.recipient]

    def asks_of(self, kind: type[T]) -> list[T]:
        return [ask for ask in self.asked if isinstance(ask, kind)]

    async def open(self, ask: OpenArtifact) -> Grant:
        self.asked.append(ask)
        key = f"artifacts/{ask.index:04d}.{ask.suffix}"
        begun = await self._client.create_multipart_upload(Bucket=self.bucket.name, Key=key)
        self._uploads[ask.index] = (ask, key, begun["UploadId"])
        return await self._grant(ask.index, 1, self.first_batch)

    async def more(self, ask: MoreParts) -> Grant:
        self.asked.append(ask)
        self.on_more(ask)
        return await self._grant(ask.index, ask.first, ask.count)

    async def close(self, ask: CloseArtifact) -> ArtifactRecord:
        self.asked.append(ask)
        opened, key, upload_id = self._uploads[ask.index]
        await self._client.complete_multipart_upload(
            Bucket=self.bucket.name,
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in ask.parts]},
        )
        size = (await self._client.head_object(Bucket=self.bucket.name, Key=key))["ContentLength"]
        if size != ask.stored_bytes:
            raise error("upload.mismatch", f"{size} bytes arrived and {ask.stored_bytes} were sent")
        return ArtifactRecord(
            name=opened.name,
            kind=opened.kind,
            format=opened.format,
            object_key=key,
            stored_bytes=size,
            plain_bytes=ask.plain_bytes,
            sha256=ask.sha256,
            attributes=opened.attributes,
        )

    async def abort(self, ask: AbortArtifact) -> None:
        self.asked.append(ask)
        if ask.index in self._uploads:
            _, key, upload_id = self._uploads.pop(ask.index)
            await self._client.abort_multipart_upload(Bucket=self.bucket.name, Key=key, UploadId=upload_id)
        self.aborted.set()

    async def download(self, ask: OpenDownload) -> DownloadGrant:
        self.asked.append(ask)
        answer = await self._client.get_object(Bucket=self.bucket.name, Key=ask.object_key, Range="bytes=0-65535")
        async with answer["Body"] as body:
            head = await body.read()
        header = parse_header(head)
        if header is None:
            raise error("artifact.corrupt", "the object is too short for a header")
        file_key = unwrap_file_key(header, [self.project])
        return DownloadGrant(
            url=await self._signer.generate_presigned_url(
                "get_object", Params={"Bucket": self.bucket.name, "Key": ask.object_key}, ExpiresIn=self.url_lifetime_s
            ),
            expires_at=self._expiry(),
            header=make_header(file_key, [self.node.recipient]),
            payload_offset=header.size,
            stored_bytes=int(answer["ContentRange"].rpartition("/")[2]),
        )

    async def _grant(self, index: int, first: int, count: int) -> Grant:
        _, key, upload_id = self._uploads[index]
        within = parts_within(self.limit_bytes, self.base_part_bytes, first, count)
        parts = [
            SignedPart(
                number=number,
                url=await self._signer.generate_presigned_url(
                    "upload_part",
                    Params={"Bucket": self.bucket.name, "Key": key, "UploadId": upload_id, "PartNumber": number},
                    ExpiresIn=self.url_lifetime_s,
                ),
            )
            for number in within.numbers
        ]
        return Grant(
            base_part_bytes=self.base_part_bytes,
            parts=parts,
            expires_at=self._expiry(),
            limit_bytes=within.told_bytes,
        )

    def _expiry(self) -> datetime:
        life_s = self.url_lifetime_s if self.claimed_lifetime_s is None else self.claimed_lifetime_s
        return datetime.now(UTC) + timedelta(seconds=life_s)


@asynccontextmanager
async def coordinator_on(bucket: Bucket, front_url: str | None = None) -> AsyncIterator[FakeCoordinator]:
    """A coordinator of its own bucket, whose signed URLs lead to `front_url`."""
    async with bucket.client() as client, signer_for(bucket, front_url) as signer:
        yield FakeCoordinator(client, signer, bucket)


@asynccontextmanager
async def signer_for(bucket: Bucket, front_url: str | None) -> AsyncIterator[S3Client]:
    """A client that only signs; a signature holds for the host that it names."""
    from daemon.store.session import store_session
    from tests.servers.s3 import _CONFIG

    server = bucket.server
    async with store_session().create_client(
        "s3",
        config=_CONFIG,
        endpoint_url=front_url or server.endpoint_url,
        region_name=server.region,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
    ) as client:
        yield client
