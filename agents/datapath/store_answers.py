"""What an answer of the object store means for the request: the only place that knows S3's words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from typing import Final

import aiohttp
import msgspec

_ERROR_BODY_BYTES: Final = 8 * 1024
_CODE: Final = re.compile(r"<Code>([^<]{1,200})</Code>")
_MESSAGE: Final = re.compile(r"<Message>([^<]{1,600})</Message>")
_RETRYABLE_STATUS: Final = frozenset({408, 425, 429})
_RETRYABLE_CODES: Final = frozenset(
    {"RequestTimeout", "SlowDown", "InternalError", "OperationAborted", "ServiceUnavailable"}
)
_DAMAGED_CODES: Final = frozenset({"BadDigest", "InvalidDigest", "IncompleteBody", "XAmzContentSHA256Mismatch"})
_FULL_CODES: Final = frozenset(
    {"InsufficientStorage", "InsufficientCapacity", "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}
)
_FULL_WORDS: Final = re.compile(
    r"no space left|storage (?:is )?full|insufficient storage|no (?:free|writable) volumes", re.IGNORECASE
)
_STALE_CODES: Final = frozenset({"ExpiredToken", "RequestExpired", "TokenRefreshRequired"})


class Next(Enum):
    """What to do about an answer that is no success."""

    RETRY = "retry"
    RENEW = "renew"
    """The signature may have expired: get a fresh one; the same answer to that one is final."""
    REFUSED = "refused"
    DAMAGED = "damaged"
    """The bytes changed on the way: send them again; if that happens again and again, something is broken."""
    FULL = "full"
    """Room may be made meanwhile: try again, but say `store.full` in the end."""


class StoreAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An answer that is no success, in words that hold no secret (an S3 error may quote the signed URL)."""

    next: Next
    status: int
    words: str
    """Such as `503 SlowDown: Please reduce your request rate`."""
    retry_after_s: float = 0.0


def read_answer(status: int, headers: Mapping[str, str], body: bytes) -> StoreAnswer:
    """Judges any status but a success; of the body only S3's code and message are looked at."""
    text = body.decode("utf-8", "replace")
    found_code, found_message = _CODE.search(text), _MESSAGE.search(text)
    code = found_code[1] if found_code else ""
    message = found_message[1] if found_message else ""
    words = f"{status} {code}: {message}" if code else f"{status}"
    return StoreAnswer(
        next=_judge(status, code, message),
        status=status,
        words=words,
        retry_after_s=_seconds(headers.get("Retry-After", "")),
    )


def _judge(status: int, code: str, message: str) -> Next:
    if status == 507 or code in _FULL_CODES or _FULL_WORDS.search(message):
        return Next.FULL
    if code in _DAMAGED_CODES:
        return Next.DAMAGED
    # Stores word an expired signature differently, some not at all; and an upload that is gone (404) is known to the
    # coordinator, whose refusal to sign says why.  So both are asked about once.
    if status in (401, 403, 404) or code in _STALE_CODES:
        return Next.RENEW
    # A new bucket's name may still point elsewhere for some minutes: S3 redirects, and means it for now only.
    if status >= 500 or status in _RETRYABLE_STATUS or code in _RETRYABLE_CODES or 300 <= status < 400:
        return Next.RETRY
    return Next.REFUSED


def _seconds(retry_after: str) -> float:
    """Of a `Retry-After` header; 0 for none, and for a date, which no store sends."""
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        return 0.0


async def read_error_body(answer: aiohttp.ClientResponse) -> bytes:
    """The first KiB of an answer, which is all that an S3 error needs."""
    body = b""
    while len(body) < _ERROR_BODY_BYTES and (data := await answer.content.read(_ERROR_BODY_BYTES - len(body))):
        body += data
    return body
