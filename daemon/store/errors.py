"""What an object store answers when it does not do what it was asked to, in our words.  Translated here and nowhere else.

Source of codes: Amazon S3 API reference; SeaweedFS 4.48, MinIO and Ceph answer with the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from contracts.errors import Conflict, Corrupt, RunFailed, StrongroomError, Unavailable

_ABSENT: Final = frozenset({"404", "NoSuchKey", "NoSuchUpload", "NotFound", "NoSuchBucket", "NoSuchVersion"})
_PRECONDITION: Final = frozenset({"412", "PreconditionFailed", "ConditionalRequestConflict"})
_DENIED: Final = frozenset({"403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch"})
_FULL: Final = frozenset({"QuotaExceeded", "InsufficientStorage", "507"})
_BAD_PARTS: Final = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall"})


class AbsentError(Corrupt):
    def __init__(self, what: str) -> None:
        super().__init__("store.missing", f"the object store has no {what}")


class OccupiedError(StrongroomError):
    """An object has the name already."""


class ObjectsLocked(Conflict):
    """Some objects cannot be deleted by anybody before `until`; None where no end is known, as with a legal hold."""

    def __init__(self, object_key: str, count: int, until: datetime | None) -> None:
        when = f"until {until:%Y-%m-%d %H:%M:%S} UTC" if until is not None else "by a legal hold, until somebody lifts it"
        more = f" and {count - 1} more" if count > 1 else ""
        super().__init__("backup.locked", f"the object store holds {object_key}{more} locked {when}")
        self.until = until


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Raises: AbsentError, OccupiedError, Corrupt `upload.mismatch`, RunFailed `upload.denied`, Unavailable."""
    try:
        yield
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        message = str(exc.response.get("Error", {}).get("Message", "")) or code
        status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _ABSENT:
            raise AbsentError(what) from exc
        if code in _PRECONDITION:
            raise OccupiedError("internal", f"an object stands at {what}") from exc
        if code in _BAD_PARTS:
            raise Corrupt("upload.mismatch", f"the store holds other parts of {what} than were sent: {message}") from exc
        if code in _DENIED:
            raise RunFailed("upload.denied", f"the object store refused {what}: {message}") from exc
        if code in _FULL or status == 507:
            raise Unavailable("store.full", f"the object store has no room for {what}: {message}") from exc
        raise Unavailable("store.unavailable", f"the object store could not serve {what}: {message}") from exc
    except (BotoCoreError, OSError, TimeoutError) as exc:
        raise Unavailable("store.unavailable", f"the object store does not answer: {exc}") from exc
