"""An object store of one process that keeps everything in memory: as much of S3 as the coordinator and agents speak.

It stands in for the real one where the coordinator is what is measured.  Signatures are not checked, objects are gone with
the process, and one part may have no more than `MOST_PART_BYTES`.  Source of names: Amazon S3 API reference.

`python -m scripts.benches.memory_s3 --port N`, on the loopback interface only.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import secrets
from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape, unescape

from aiohttp import web

MOST_PART_BYTES = 1024 * 1024
_PAGE = 1_000
_NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass(slots=True)
class _Stored:
    """An object, or one part of an upload."""

    data: bytes
    etag: str
    modified_at: datetime


@dataclass(slots=True)
class _Upload:
    object_key: str
    initiated_at: datetime
    parts: dict[int, _Stored] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    """Names are kept in order beside the objects, so that listing a prefix does not look at all of them."""

    objects: dict[str, _Stored] = field(default_factory=dict)
    uploads: dict[str, _Upload] = field(default_factory=dict)
    object_keys: list[str] = field(default_factory=list)
    upload_keys: list[tuple[str, str]] = field(default_factory=list)

    def put(self, object_key: str, stored: _Stored) -> None:
        if object_key not in self.objects:
            insort(self.object_keys, object_key)
        self.objects[object_key] = stored

    def remove(self, object_key: str) -> None:
        if self.objects.pop(object_key, None) is not None:
            del self.object_keys[bisect_left(self.object_keys, object_key)]

    def begin(self, object_key: str) -> str:
        upload_id = secrets.token_hex(16)
        self.uploads[upload_id] = _Upload(object_key, datetime.now(UTC))
        insort(self.upload_keys, (object_key, upload_id))
        return upload_id

    def end(self, upload_id: str) -> None:
        upload = self.uploads.pop(upload_id)
        del self.upload_keys[bisect_left(self.upload_keys, (upload.object_key, upload_id))]

    def keys_from(self, prefix: str, after: str) -> Iterator[str]:
        for at in range(bisect_left(self.object_keys, after + "\0" if after else prefix), len(self.object_keys)):
            if not self.object_keys[at].startswith(prefix):
                return
            yield self.object_keys[at]

    def uploads_from(self, prefix: str, after: tuple[str, str]) -> Iterator[tuple[str, str]]:
        begin = (after[0], after[1] + "\0") if after[0] else (prefix, "")
        for at in range(bisect_left(self.upload_keys, begin), len(self.upload_keys)):
            if not self.upload_keys[at][0].startswith(prefix):
                return
            yield self.upload_keys[at]


class MemoryS3:
    """The one handler of all requests; addresses are path-style."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}

    async def handle(self, request: web.Request) -> web.Response:
        name, _, object_key = request.path.removeprefix("/").partition("/")
        bucket = self._buckets.get(name)
        if not object_key:
            if request.method == "PUT":
                self._buckets.setdefault(name, _Bucket())
                return web.Response()
            return self._of_bucket(request, bucket, await request.read()) if bucket else _error(404, "NoSuchBucket")
        if bucket is None:
            return _error(404, "NoSuchBucket")
        body = await request.read()
        if "uploads" in request.query or "uploadId" in request.query:
            return self._of_upload(request, bucket, object_key, body)
        return self._of_object(request, bucket, object_key, body)

    def _of_bucket(self, request: web.Request, bucket: _Bucket, body: bytes) -> web.Response:
        if request.method == "POST":
            for object_key in re.findall(r"<Key>(.*?)</Key>", body.decode(), re.DOTALL):
                bucket.remove(unescape(object_key))
            return _xml(f"<DeleteResult {_NAMESPACE}></DeleteResult>")
        if request.method == "HEAD":
            return web.Response()
        prefix = request.query.get("prefix", "")
        if "uploads" in request.query:
            return self._list_uploads(request, bucket, prefix)
        found = bucket.keys_from(prefix, request.query.get("continuation-token", ""))
        page = [object_key for object_key, _ in zip(found, range(_PAGE), strict=False)]
        entries = "".join(
            f"<Contents><Key>{escape(object_key)}</Key><LastModified>{_time(stored.modified_at)}</LastModified>"
            f'<ETag>"{stored.etag}"</ETag><Size>{len(stored.data)}</Size></Contents>'
            for object_key in page
            for stored in (bucket.objects[object_key],)
        )
        more = len(page) == _PAGE
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return _xml(
            f"<ListBucketResult {_NAMESPACE}><IsTruncated>{str(more).lower()}</IsTruncated>{token}{entries}"
            "</ListBucketResult>"
        )

    def _list_uploads(self, request: web.Request, bucket: _Bucket, prefix: str) -> web.Response:
        after = (request.query.get("key-marker", ""), request.query.get("upload-id-marker", ""))
        page = [names for names, _ in zip(bucket.uploads_from(prefix, after), range(_PAGE), strict=False)]
        entries = "".join(
            f"<Upload><Key>{escape(object_key)}</Key><UploadId>{upload_id}</UploadId>"
            f"<Initiated>{_time(bucket.uploads[upload_id].initiated_at)}</Initiated></Upload>"
            for object_key, upload_id in page
        )
        more = len(page) == _PAGE
        marker = ""
        if more:
            marker = (
                f"<NextKeyMarker>{escape(page[-1][0])}</NextKeyMarker><NextUploadIdMarker>{page[-1][1]}</NextUploadIdMarker>"
            )
        return _xml(
            f"<ListMultipartUploadsResult {_NAMESPACE}><IsTruncated>{str(more).lower()}</IsTruncated>{marker}{entries}"
            "</ListMultipartUploadsResult>"
        )

    def _of_upload(self, request: web.Request, bucket: _Bucket, object_key: str, body: bytes) -> web.Response:
        if "uploads" in request.query:
            upload_id = bucket.begin(object_key)
            return _xml(
                f"<InitiateMultipartUploadResult {_NAMESPACE}><Key>{escape(object_key)}</Key>"
                f"<UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            )
        upload_id = request.query["uploadId"]
        upload = bucket.uploads.get(upload_id)
        if upload is None or upload.object_key != object_key:
            return _error(404, "NoSuchUpload")
        if request.method == "PUT":
            part = upload.parts[int(request.query["partNumber"])] = _stored(body)
            return web.Response(headers={"ETag": f'"{part.etag}"'})
        if request.method == "DELETE":
            bucket.end(upload_id)
            return web.Response(status=204)
        if request.method == "GET":
            entries = "".join(
                f"<Part><PartNumber>{number}</PartNumber><LastModified>{_time(part.modified_at)}</LastModified>"
                f'<ETag>"{part.etag}"</ETag><Size>{len(part.data)}</Size></Part>'
                for number, part in sorted(upload.parts.items())
            )
            return _xml(f"<ListPartsResult {_NAMESPACE}><IsTruncated>false</IsTruncated>{entries}</ListPartsResult>")
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", body)]
        if not numbers or any(number not in upload.parts for number in numbers):
            return _error(400, "InvalidPart")
        bucket.put(object_key, _stored(b"".join(upload.parts[number].data for number in numbers)))
        bucket.end(upload_id)
        return _xml(
            f"<CompleteMultipartUploadResult {_NAMESPACE}><Key>{escape(object_key)}</Key>"
            f'<ETag>"{bucket.objects[object_key].etag}"</ETag></CompleteMultipartUploadResult>'
        )

    def _of_object(self, request: web.Request, bucket: _Bucket, object_key: str, body: bytes) -> web.Response:
        if request.method == "PUT":
            if request.headers.get("If-None-Match") == "*" and object_key in bucket.objects:
                return _error(412, "PreconditionFailed")
            stored = _stored(body)
            bucket.put(object_key, stored)
            return web.Response(headers={"ETag": f'"{stored.etag}"'})
        if request.method == "DELETE":
            bucket.remove(object_key)
            return web.Response(status=204)
        found = bucket.objects.get(object_key)
        if found is None:
            return _error(404, "NoSuchKey")
        headers = {"ETag": f'"{found.etag}"', "Last-Modified": format_datetime(found.modified_at, usegmt=True)}
        if request.method == "HEAD":
            return web.Response(headers={**headers, "Content-Length": str(len(found.data))})
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        if span is None:
            return web.Response(body=found.data, headers=headers)
        first, last = int(span[1]), int(span[2]) if span[2] else len(found.data) - 1
        data = found.data[first : last + 1]
        headers["Content-Range"] = f"bytes {first}-{first + len(data) - 1}/{len(found.data)}"
        return web.Response(status=206, body=data, headers=headers)


def _stored(data: bytes) -> _Stored:
    return _Stored(data, hashlib.md5(data, usedforsecurity=False).hexdigest(), datetime.now(UTC))


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _xml(text: str) -> web.Response:
    return web.Response(text=f'<?xml version="1.0" encoding="UTF-8"?>\n{text}', content_type="application/xml")


def _error(status: int, code: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.benches.memory_s3", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    app = web.Application(client_max_size=MOST_PART_BYTES)
    # One route for everything: the handler reads the path itself.
    app.router.add_route("*", "/{path:.*}", MemoryS3().handle)
    web.run_app(app, host="127.0.0.1", port=parser.parse_args().port, print=None, access_log=None)


if __name__ == "__main__":
    main()
