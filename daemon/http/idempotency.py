"""`Idempotency-Key`: a creation that is asked for again is not done again, whichever coordinator is asked.

Whoever creates the key's record carries the request out; all others find it.  What was refused has changed nothing, so its
record goes, and the same key may be used again.  A coordinator that is stopped in the midst leaves a record without an
answer: then nobody can know whether it was done, and saying so is all that is left.
Source: IETF draft-ietf-httpapi-idempotency-key-header-07.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, NoReturn, TypeAlias

import msgspec
import structlog

from contracts.control import TOKEN_CREATE, Verb
from contracts.errors import Conflict, InvalidInput, StrongroomError
from contracts.idempotency import KeyedRequest
from contracts.wire import encode
from daemon.access.caller import Caller
from daemon.catalog.buckets import RecordChanged, Stored
from daemon.http.backend import Backend

log = structlog.get_logger()

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotent-Replayed"
KEPT: Final = timedelta(hours=24)
IN_PROGRESS: Final = timedelta(minutes=2)
"""Longer than any creation takes: what has no answer after that gets none."""

Key: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"\A[\x21-\x7e]+\Z")]
"""Printable ASCII without blanks, such as a random UUID."""

_TRIES: Final = 5
_SHOWN_ONCE: Final = frozenset({TOKEN_CREATE.name})


@dataclass(frozen=True)
class Answered:
    """An answer that can be given again."""

    status: int
    body: bytes
    location: str = ""
    replayed: bool = False


def check_key(text: str) -> str:
    """The key itself.  Raises: InvalidInput for what cannot be one."""
    try:
        return msgspec.convert(text, Key)
    except msgspec.ValidationError as exc:
        raise InvalidInput(
            "input.invalid",
            "the key must have 1 to 255 printable ASCII characters and no blanks; a random UUID is a good one",
            field=HEADER,
        ) from exc


class Repeats:
    """The requests that were sent under a key."""

    def __init__(self, backend: Backend) -> None:
        self._bucket = backend.catalog.idempotency
        self._now = backend.now
        self._secret = hmac.digest(backend.session_key, b"strongroom idempotency", "sha256")

    async def once(
        self, verb: Verb[Any, Any], request: Any, caller: Caller, key: str, carry_out: Callable[[], Awaitable[Answered]]
    ) -> Answered:
        """What came of `carry_out`, now or at the first time.

        Raises: InvalidInput `request.key_reused` for another request under the same key, Conflict `request.in_progress`,
        `request.unfinished`, `request.answer_gone`, and whatever `carry_out` raises.
        """
        name = hashlib.sha256(encode([caller.token_id or caller.actor, caller.project, key])).hexdigest()
        mac = hmac.digest(self._secret, encode([verb.name, request]), "sha256")
        record = KeyedRequest(request_mac=mac, began_at=self._now())
        for _ in range(_TRIES):
            try:
                revision = await self._bucket.create(name, record, ttl_s=int(KEPT.total_seconds()))
                break
            except RecordChanged:
                found = await self._bucket.get(name)
                if found is not None:
                    return self._repeated(found.value, mac)
        else:
            raise Conflict("request.in_progress", "the same request is being carried out: ask again in a moment")
        return await self._first(verb, Stored(name, record, revision), carry_out)

    async def _first(
        self, verb: Verb[Any, Any], place: Stored[KeyedRequest], carry_out: Callable[[], Awaitable[Answered]]
    ) -> Answered:
        try:
            answer = await carry_out()
        except StrongroomError:
            await self._try(lambda: self._bucket.delete(place.key, place.revision))
            raise
        shown_once = _what_was_made(answer.body) if verb.name in _SHOWN_ONCE else ""
        done = msgspec.structs.replace(
            place.value,
            answered_at=self._now(),
            status=answer.status,
            location=answer.location,
            body=b"" if shown_once else answer.body,
            shown_once=shown_once,
        )
        await self._try(lambda: self._bucket.update(place.key, done, place.revision, ttl_s=int(KEPT.total_seconds())))
        return answer

    async def _try(self, write: Callable[[], Awaitable[Any]]) -> None:
        """What was done is done, and what was refused is refused, whatever becomes of the record."""
        try:
            await write()
        except StrongroomError as exc:
            log.warning("idempotency.unrecorded", code=exc.code, reason=exc.message)

    def _repeated(self, record: KeyedRequest, mac: bytes) -> Answered:
        if not hmac.compare_digest(record.request_mac, mac):
            raise InvalidInput(
                "request.key_reused",
                "another request was sent under this key: take a new key for every new request",
                field=HEADER,
            )
        if record.answered_at is None:
            self._refuse_unanswered(record)
        if record.shown_once:
            raise Conflict(
                "request.answer_gone",
                f"{record.shown_once} was made under this key, and its secret is shown once: if it was lost, end the "
                "token, and make another under a new key",
                field=HEADER,
            )
        return Answered(record.status, record.body, record.location, replayed=True)

    def _refuse_unanswered(self, record: KeyedRequest) -> NoReturn:
        if self._now() - record.began_at < IN_PROGRESS:
            raise Conflict("request.in_progress", "the same request is being carried out: ask again in a moment")
        raise Conflict(
            "request.unfinished",
            "the coordinator was stopped while it carried this request out, and whether it was done is not known: look at "
            "what there is, then ask under a new key",
            field=HEADER,
        )


def _what_was_made(body: bytes) -> str:
    made = msgspec.json.decode(body, type=_Made).view
    return f"the token {made.name!r} ({made.id})"


class _Seen(msgspec.Struct):
    id: str
    name: str


class _Made(msgspec.Struct):
    view: _Seen
