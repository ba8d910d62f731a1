"""What Strongroom takes for granted about the embedded object store's answers.

Grants are presigned part uploads; the coordinator trusts ETags, completion and conditional writes to tell the truth.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import re
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from botocore.exceptions import ClientError

from tests.servers.s3 import Bucket

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

PART = os.urandom(5 * 1024 * 1024)
MD5 = hashlib.md5(PART, usedforsecurity=False).hexdigest()
KEY = "acme/orders/1/dump.age"


async def begin(client: S3Client, bucket: Bucket) -> str:
    return (await client.create_multipart_upload(Bucket=bucket.name, Key=KEY))["UploadId"]


async def presign(client: S3Client, bucket: Bucket, upload_id: str, part: int = 1, **more: Any) -> str:
    expires_s = more.pop("expires_s", 60)
    parameters = {"Bucket": bucket.name, "Key": KEY, "UploadId": upload_id, "PartNumber": part, **more}
    url: str = await client.generate_presigned_url("upload_part", Params=parameters, ExpiresIn=expires_s)
    return url


async def send(url: str, body: bytes = PART, headers: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Status, ETag and body of the answer to a PUT by a client that knows nothing but the URL."""
    async with aiohttp.ClientSession() as session, session.put(url, data=io.BytesIO(body), headers=headers) as answer:
        return answer.status, answer.headers.get("ETag", ""), await answer.text()


def parts(*etags: str) -> list[CompletedPartTypeDef]:
    return [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]


async def test_parts_sent_to_presigned_urls_become_the_object(bucket: Bucket) -> None:
    async with bucket.client() as client:
        upload_id = await begin(client, bucket)
        answers = [await send(await presign(client, bucket, upload_id, part, ContentLength=len(PART))) for part in (1, 2)]
        assert [(status, etag) for status, etag, _ in answers] == [(200, f'"{MD5}"')] * 2
        done = await client.complete_multipart_upload(
            Bucket=bucket.name,
            Key=KEY,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts(*(etag for _, etag, _ in answers))},
        )
    whole = hashlib.md5(bytes.fromhex(MD5) * 2, usedforsecurity=False).hexdigest()
    assert done["ETag"] == f'"{whole}-2"'
    assert bucket.read(KEY) == PART * 2
    assert bucket.list_uploads() == []


async def test_a_presigned_url_is_good_for_its_time_part_key_and_length_only(bucket: Bucket) -> None:
    async with bucket.client() as client:
        upload_id = await begin(client, bucket)
        url = await presign(client, bucket, upload_id, ContentLength=len(PART))
        other_id = upload_id[:-1] + ("1" if upload_id[-1] == "0" else "0")
        forged = {
            "another part": (url.replace("partNumber=1", "partNumber=2"), PART),
            "another key": (url.replace("dump.age", "other.age"), PART),
            "another upload": (url.replace(upload_id, other_id), PART),
            "a longer body": (url, PART + b"x"),
            "a shorter body": (url, PART[:-1]),
            "no signature": (url.partition("?")[0], PART),
        }
        answers = {what: await send(*request) for what, request in forged.items()}
        assert {what: status for what, (status, _, _) in answers.items()} == dict.fromkeys(forged, 403)
        assert "<Code>SignatureDoesNotMatch</Code>" in answers["a longer body"][2]
        short = await presign(client, bucket, upload_id, expires_s=1)
        await asyncio.sleep(2.1)  # the signature carries whole seconds of the server's own clock
        status, _, text = await send(short)
        assert status == 403
        assert "<Code>AccessDenied</Code><Message>Request has expired</Message>" in text
        assert (await client.list_parts(Bucket=bucket.name, Key=KEY, UploadId=upload_id)).get("Parts", []) == []


async def test_a_part_that_changed_on_its_way_is_refused(bucket: Bucket) -> None:
    async with bucket.client() as client:
        upload_id = await begin(client, bucket)
        md5 = "1B2M2Y8AsgTpgAmY7PhCfg=="  # of no bytes at all
        url = await presign(client, bucket, upload_id, ContentMD5=md5)
        status, _, text = await send(url, headers={"Content-MD5": md5})
        assert (status, "<Code>BadDigest</Code>" in text) == (400, True)
        assert (await send(url))[0] == 403  # the header is signed: leaving it out does not help


async def test_a_part_for_an_upload_that_ended_is_told_so(bucket: Bucket) -> None:
    async with bucket.client() as client:
        upload_id = await begin(client, bucket)
        url = await presign(client, bucket, upload_id)
        await client.abort_multipart_upload(Bucket=bucket.name, Key=KEY, UploadId=upload_id)
        status, _, text = await send(url)
        assert (status, "<Code>NoSuchUpload</Code>" in text) == (404, True)


@pytest.mark.parametrize("etags", [("0" * 32,), (MD5, MD5)], ids=["wrong etag", "missing part"])
async def test_an_upload_is_not_completed_with_parts_that_are_not_there(bucket: Bucket, etags: tuple[str, ...]) -> None:
    async with bucket.client() as client:
        upload_id = await begin(client, bucket)
        await send(await presign(client, bucket, upload_id))
        with pytest.raises(ClientError, match="InvalidPart"):
            await client.complete_multipart_upload(
                Bucket=bucket.name, Key=KEY, UploadId=upload_id, MultipartUpload={"Parts": parts(*etags)}
            )
    assert bucket.list_keys() == []
    assert bucket.list_uploads() == [(KEY, upload_id)]


async def test_a_completion_repeated_gives_the_same_answer(bucket: Bucket) -> None:
    async with bucket.client() as client:
        upload_id = await begin(client, bucket)
        await send(await presign(client, bucket, upload_id))
        answers = [
            await client.complete_multipart_upload(
                Bucket=bucket.name, Key=KEY, UploadId=upload_id, MultipartUpload={"Parts": parts(MD5)}
            )
            for _ in range(2)
        ]
    assert answers[0]["ETag"] == answers[1]["ETag"]


async def test_pending_uploads_are_listed_until_they_are_aborted(bucket: Bucket) -> None:
    async with bucket.client() as client:
        first, second = await begin(client, bucket), await begin(client, bucket)
        await send(await presign(client, bucket, first))
        assert bucket.list_uploads() == sorted([(KEY, first), (KEY, second)])
        for upload_id in (first, second, second):  # aborting twice does no harm
            await client.abort_multipart_upload(Bucket=bucket.name, Key=KEY, UploadId=upload_id)
    assert bucket.list_uploads() == []


async def test_an_object_that_exists_is_not_overwritten_conditionally(bucket: Bucket) -> None:
    async with bucket.client() as client:
        await client.put_object(Bucket=bucket.name, Key=KEY, Body=b"first", IfNoneMatch="*")
        with pytest.raises(ClientError, match="PreconditionFailed"):
            await client.put_object(Bucket=bucket.name, Key=KEY, Body=b"second", IfNoneMatch="*")
        upload_id = await begin(client, bucket)
        await send(await presign(client, bucket, upload_id))
        with pytest.raises(ClientError, match="PreconditionFailed"):
            await client.complete_multipart_upload(
                Bucket=bucket.name,
                Key=KEY,
                UploadId=upload_id,
                IfNoneMatch="*",
                MultipartUpload={"Parts": parts(MD5)},
            )
    assert bucket.read(KEY) == b"first"


async def test_of_many_conditional_writers_one_wins(bucket: Bucket) -> None:
    async with bucket.client() as client:

        async def write(number: int) -> bool:
            try:
                await client.put_object(Bucket=bucket.name, Key=KEY, Body=b"%d" % number, IfNoneMatch="*")
            except ClientError as exc:
                assert re.search("PreconditionFailed|ConditionalRequestConflict", str(exc))  # noqa: PT017
                return False
            return True

        won = await asyncio.gather(*(write(number) for number in range(10)))
    assert sum(won) == 1
    assert bucket.read(KEY) == b"%d" % won.index(True)


async def test_a_bucket_with_objects_is_not_deleted(bucket: Bucket) -> None:
    async with bucket.client() as client:
        await client.put_object(Bucket=bucket.name, Key=KEY, Body=b"x")
        with pytest.raises(ClientError, match="BucketNotEmpty"):
            await client.delete_bucket(Bucket=bucket.name)
        with pytest.raises(ClientError, match="NoSuchBucket"):
            await client.put_object(Bucket=f"{bucket.name}-typo", Key=KEY, Body=b"x")
