"""Loading documents with `_bulk`: several requests at once, each document counted, none given up in silence."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Final

import msgspec

from agents.datapath.threads import first_reason
from agents.drivers.elasticsearch.cluster import reason_of
from agents.drivers.elasticsearch.indices import failed
from agents.drivers.elasticsearch.lines import NO_ROUTING, Document
from agents.drivers.http_engine import EngineHttp, EngineRefused, quote_path
from agents.processes import uncancelled
from contracts.errors import RunFailed

REQUEST_BYTES: Final = 4 * 1024 * 1024
"""Far below `http.max_content_length`, which is 100 MB by default; a larger document is a request of its own."""
PARALLEL: Final = 3
"""Requests under way; each is held in memory until it is answered."""
_BUSY: Final = frozenset({429, 503})
"""The cluster has too much to do, or a shard is just moving: the only answers that asking again can better."""
_TRIES: Final = 12
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 15.0
_REQUEST_TIMEOUT_S: Final = 300.0
_LAST_ANSWER_S: Final = 10.0
"""How long a request's answer is waited for when the restore was given up."""
_STATUSES: Final = {"filter_path": "errors,items.*.status,items.*.error"}

_QUOTED: Final = re.compile(
    r"(Preview of field's value: |[Ff]or input string: |failed to parse date field )['\"\[].*?['\"\]](?=$|[\s:.,)])",
    re.DOTALL,
)
"""Where the words of a cluster have a value of the document in them."""

Operation = tuple[msgspec.Raw | bytes, ...]
"""A document's two lines, in pieces."""


class _Item(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    error: Any = None


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    errors: bool
    items: msgspec.Raw = msgspec.Raw(b"[]")


_answers: Final = msgspec.json.Decoder(_Answer)
_items: Final = msgspec.json.Decoder(list[dict[str, _Item]])


class Loader:
    """Documents on their way into one index."""

    def __init__(
        self, http: EngineHttp, index: str, group: asyncio.TaskGroup, wait_s: float, words: str, pipeline: str
    ) -> None:
        self._http = http
        self._path = f"{quote_path(index)}/_bulk"
        self._params = _STATUSES | ({"pipeline": pipeline} if pipeline else {})
        self._words = words
        self._group = group
        self._slots = asyncio.Semaphore(PARALLEL)
        self._operations: list[Operation] = []
        self._size = 0
        self._wait_s = wait_s
        self.documents = 0
        """Handed in so far."""
        self.taken = 0
        """That the cluster has said it has."""

    async def add(self, document: Document) -> None:
        """Returns when there is room for more."""
        if document.routing == NO_ROUTING:
            operation: Operation = (b'{"create":{"_id":', document.id, b"}}\n", document.source, b"\n")
        else:
            routing = (b',"routing":', document.routing)
            operation = (b'{"create":{"_id":', document.id, *routing, b"}}\n", document.source, b"\n")
        size = sum(map(_length, operation))
        if self._operations and self._size + size > REQUEST_BYTES:
            await self.flush()
        self._operations.append(operation)
        self._size += size
        self.documents += 1

    async def flush(self) -> None:
        """Sends what is there; returns when there is room for more."""
        if not self._operations:
            return
        operations, self._operations, self._size = self._operations, [], 0
        await self._slots.acquire()
        self._group.create_task(self._send(operations), name=f"bulk:{self._words}")

    async def _send(self, operations: Sequence[Operation]) -> None:
        try:
            wait_s, why = self._wait_s, ""
            for remaining in reversed(range(_TRIES)):
                operations, why = await self._try(operations)
                if not operations:
                    return
                if remaining:
                    await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311  # spreads the load, hides nothing
                    wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            raise RunFailed(
                "restore.failed",
                f"the cluster at {self._http.url} has been too busy to take documents of {self._words!r} {_TRIES} times in "
                f"a row: {why}. Restore again when it has less to do",
            )
        finally:
            self._slots.release()

    async def _try(self, operations: Sequence[Operation]) -> tuple[Sequence[Operation], str]:
        """(what has to be sent again, why).  Raises: RunFailed `restore.failed` for what would fail again."""
        body = b"".join([piece for operation in operations for piece in operation])
        try:
            answer = await self._request(body)
        except EngineRefused as exc:
            if exc.status in _BUSY:
                return operations, reason_of(exc)
            raise failed(f"the cluster refused documents of {self._words!r}", exc) from exc
        return self._judge(operations, answer)

    async def _request(self, body: bytes) -> bytes:
        """Its answer is waited for even when nobody wants it any more: a request that the cluster has not looked at yet
        would make the index anew after it was deleted."""
        request = asyncio.create_task(
            self._http.send(
                "POST",
                self._path,
                data=BytesIO(body),  # sent piece by piece: other requests get their turn in between
                params=self._params,
                headers={"Content-Type": "application/x-ndjson"},
                timeout_s=_REQUEST_TIMEOUT_S,
            )
        )
        try:
            return await asyncio.shield(request)
        except asyncio.CancelledError:
            await uncancelled(_ended(request), name=f"bulk:{self._words}:end")
            raise

    def _judge(self, operations: Sequence[Operation], answer: bytes) -> tuple[Sequence[Operation], str]:
        try:
            decoded = _answers.decode(answer)
            if not decoded.errors:
                self.taken += len(operations)
                return [], ""
            items = [next(iter(item.values())) for item in _items.decode(decoded.items)]
        except (msgspec.DecodeError, StopIteration) as exc:
            raise RunFailed("restore.failed", f"the cluster's answer to _bulk cannot be understood: {exc}") from exc
        if len(items) != len(operations):
            raise RunFailed(
                "restore.failed",
                f"the cluster was sent {len(operations)} documents of {self._words!r} and answered for {len(items)}",
            )
        again: list[Operation] = []
        why = ""
        for operation, item in zip(operations, items, strict=True):
            if item.status < 300:
                self.taken += 1
                continue
            if item.status not in _BUSY:
                raise RunFailed(
                    "restore.failed",
                    f"the cluster refused a document of {self._words!r} with status {item.status}: {_words(item.error)}",
                    detail=f"the document's _id is {bytes(operation[1]).decode(errors='replace')}",
                )
            again.append(operation)
            why = _words(item.error)
        return again, why


@asynccontextmanager
async def loading(
    http: EngineHttp, index: str, *, words: str, pipeline: str = "", wait_s: float = _FIRST_WAIT_S
) -> AsyncIterator[Loader]:
    """Leaving waits until the cluster has taken everything.

    `words` names the index in errors, where it has another name while it is loaded; `pipeline` is asked for instead of the
    index's own, `_none` for none; `wait_s` is the first wait when the cluster is too busy.

    Raises: RunFailed `restore.failed`, `engine.*`.
    """
    try:
        async with asyncio.TaskGroup() as group:
            loader = Loader(http, index, group, wait_s, words, pipeline)
            yield loader
            await loader.flush()
    except BaseExceptionGroup as several:
        raise first_reason(several) from None


async def _ended(request: asyncio.Task[bytes]) -> None:
    await asyncio.wait([request], timeout=_LAST_ANSWER_S)
    request.cancel()
    await asyncio.wait([request])
    if not request.cancelled():
        request.exception()  # nobody's any more


def _length(piece: msgspec.Raw | bytes) -> int:
    return memoryview(piece).nbytes


def _words(error: Any) -> str:
    """Without what the cluster quotes of the document: errors are read by more people than documents are."""
    if not isinstance(error, dict):
        return str(error or "no reason given")
    cause = error.get("caused_by")
    words = str(error.get("reason") or error.get("type") or "no reason given")
    reason = cause.get("reason") if isinstance(cause, dict) else None
    said = f"{words}: {reason}" if reason and str(reason) not in words else words
    return _QUOTED.sub(lambda found: f"{found[1]}…", said)
