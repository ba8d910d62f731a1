"""All documents of an index, page by page, by several slices at once.

A point in time (PIT) is one view that all slices share.  Clusters that cannot read one in the order of `_shard_doc` have
scrolls instead, of which every slice has a view of its own.

Either must not be lost while a slow store holds up the reader: a point in time is kept alive by asking for nothing, a
scroll, which only the next page could keep alive, lives long from the start.  Whatever happens, both are given back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import structlog

from agents.datapath.threads import first_reason
from agents.drivers.elasticsearch.cluster import BLOCKED, ClusterFacts, error_type, reason_of
from agents.drivers.elasticsearch.lines import one_line
from agents.drivers.elasticsearch.page_size import PageSize
from agents.drivers.http_engine import EngineHttp, EngineRefused, quote_path
from agents.processes import uncancelled
from contracts.errors import RunFailed, StrongroomError

log = structlog.get_logger()

_PAGE_TIMEOUT_S: Final = 120.0
_CLOSE_TIMEOUT_S: Final = 10.0

TakePage = Callable[[list[msgspec.Raw]], Awaitable[None]]
"""Takes the hits of a page; they are its own until it returns, and pages of other slices may come meanwhile."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """How documents are read."""

    by_pit: bool
    keep_alive_s: int = 300
    """Of a point in time without a sign from us."""
    scroll_alive_s: int = 3600
    """Of a scroll between two pages."""
    order: str = "_shard_doc"
    """By which a point in time is read: a field that no two documents share the value of."""

    @staticmethod
    def of(facts: ClusterFacts) -> Reading:
        return Reading(by_pit=facts.has_shard_doc)


class _Total(msgspec.Struct, kw_only=True):
    value: int = 0
    relation: str = "eq"


class _Hits(msgspec.Struct, kw_only=True):
    hits: list[msgspec.Raw]
    total: _Total | None = None


class _Shards(msgspec.Struct, kw_only=True):
    total: int = 0
    successful: int = 0
    failed: int = 0
    failures: list[msgspec.Raw] = []


class _Page(msgspec.Struct, kw_only=True):
    hits: _Hits
    timed_out: bool = False
    shards: _Shards = msgspec.field(name="_shards", default_factory=_Shards)
    pit_id: str = ""
    scroll_id: str = msgspec.field(name="_scroll_id", default="")
    size_bytes: int = 0


class _Sorted(msgspec.Struct, kw_only=True):
    sort: msgspec.Raw


class _Opened(msgspec.Struct, kw_only=True):
    id: str = ""
    pit_id: str = ""


class _TooLargeError(RunFailed):
    """A page that the cluster cannot give, or that we cannot hold: there may be a smaller one."""


_pages: Final = msgspec.json.Decoder(_Page)
_sorted: Final = msgspec.json.Decoder(_Sorted)


class IndexReader:
    """The documents of one index."""

    def __init__(self, http: EngineHttp, facts: ClusterFacts, index: str, *, slices: int, reading: Reading) -> None:
        self._http = http
        self._facts = facts
        self._index = index
        self._slices = slices
        self._reading = reading
        self._pit_id = ""
        self._scrolls: set[str] = set()
        self.documents = 0
        """Read so far."""

    async def read(self, take: TakePage, size: Callable[[], PageSize], *, shards: int = 1) -> int:
        """Hands every document to `take`, in no order; how many the cluster says there are, which is how many there were.

        `size` makes a slice's own.  `shards` bounds the slices of scrolls: with more of them the cluster looks at every
        document's id once per slice, which takes it six times as long as reading does; in a point in time it does not.
        Raises: RunFailed `dump.incomplete` when that is not so, `engine.*`.
        """
        if not self._reading.by_pit:
            self._slices = max(1, min(self._slices, shards))
        expected = await (self._read_pit(take, size) if self._reading.by_pit else self._read_scrolls(take, size))
        if self.documents != expected:
            raise RunFailed(
                "dump.incomplete",
                f"index {self._index!r} has {expected} documents, but only {self.documents} came: the cluster left some "
                "out. Look at its log and its health, and back up again",
            )
        return expected

    async def open(self) -> None:
        """From here on what is read does not change, where there is a point in time."""
        if not self._reading.by_pit:
            return
        keep_alive = {"keep_alive": f"{self._reading.keep_alive_s}s"}
        is_open_search = self._facts.distribution == "opensearch"
        path = "/_search/point_in_time" if is_open_search else "/_pit"
        try:
            opened = await self._http.ask("POST", f"{quote_path(self._index)}{path}", type=_Opened, params=keep_alive)
        except EngineRefused as exc:
            raise self._refused(exc) from exc
        self._pit_id = opened.id or opened.pit_id

    async def close(self) -> None:
        """Gives back what the cluster holds for the reader; what cannot be given back it drops after `keep_alive_s`."""
        try:
            if self._pit_id and self._facts.distribution == "opensearch":
                await self._give_back("/_search/point_in_time", {"pit_id": [self._pit_id]})
            elif self._pit_id:
                await self._give_back("/_pit", {"id": self._pit_id})
            if self._scrolls:
                await self._give_back("/_search/scroll", {"scroll_id": sorted(self._scrolls)})
        except StrongroomError as exc:
            if not (isinstance(exc, EngineRefused) and exc.status == 404):  # gone already
                log.warning("search_context.left", index=self._index, error=str(exc))

    async def _give_back(self, path: str, body: object) -> None:
        await self._http.send("DELETE", path, json=body, timeout_s=_CLOSE_TIMEOUT_S)

    async def _read_pit(self, take: TakePage, size: Callable[[], PageSize]) -> int:
        page = await self._search({"size": 0, "track_total_hits": True, "pit": self._pit()})
        keeper = asyncio.create_task(self._keep_alive(), name=f"pit:{self._index}")
        try:
            await self._together([self._read_pit_slice(number, take, size()) for number in range(self._slices)])
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])
        return self._total(page)

    async def _read_pit_slice(self, number: int, take: TakePage, size: PageSize) -> None:
        after: msgspec.Raw | None = None
        while True:
            body = {
                "size": size.documents,
                "pit": self._pit(),
                "sort": [{self._reading.order: "asc"}],
                "track_total_hits": False,
                **self._whole_source(),
                **self._slice(number),
            }
            if after is not None:
                body["search_after"] = after
            try:
                page = await self._search(body)
            except _TooLargeError:
                if not size.was_too_large():
                    raise
                continue
            hits = page.hits.hits
            if not hits:
                return
            size.saw(len(hits), page.size_bytes)
            after = self._sort_of(hits[-1])
            self.documents += len(hits)
            await take(hits)

    async def _read_scrolls(self, take: TakePage, size: Callable[[], PageSize]) -> int:
        documents = await self._scroll_size(size())
        if documents == 0:
            return 0
        totals = [0] * self._slices

        async def read_slice(number: int) -> None:
            totals[number] = await self._read_scroll_slice(number, take, documents)

        await self._together([read_slice(number) for number in range(self._slices)])
        return sum(totals)

    async def _read_scroll_slice(self, number: int, take: TakePage, documents: int) -> int:
        alive = f"{self._reading.scroll_alive_s}s"
        body = {
            "size": documents,
            "sort": ["_doc"],
            "track_total_hits": True,
            **self._whole_source(),
            **self._slice(number),
        }
        first = self._search(body, path=f"{quote_path(self._index)}/_search", params={"scroll": alive})
        page = await uncancelled(first, name=f"scroll:{self._index}:{number}")
        total = self._total(page)
        while page.hits.hits:
            self.documents += len(page.hits.hits)
            await take(page.hits.hits)
            page = await self._search({"scroll": alive, "scroll_id": page.scroll_id}, path="/_search/scroll", params={})
        return total

    async def _scroll_size(self, size: PageSize) -> int:
        """Documents a page, which a scroll cannot change on its way: so a few are looked at before.

        None for an index without any: one without a mapping cannot be sliced.
        """
        body = {"size": size.documents, "sort": ["_doc"], "track_total_hits": False}
        try:
            page = await self._search(body, path=f"{quote_path(self._index)}/_search", params={})
        except _TooLargeError:
            if not size.was_too_large():
                raise
            return await self._scroll_size(size)
        size.saw(len(page.hits.hits), page.size_bytes)
        return size.documents if page.hits.hits else 0

    async def _search(self, body: dict[str, Any], *, path: str = "/_search", params: dict[str, str] | None = None) -> _Page:
        """Raises: RunFailed `dump.incomplete` for an answer that the cluster itself does not call whole; `engine.*`."""
        whole = {} if path == "/_search/scroll" else {"allow_partial_search_results": "false"}
        try:
            answer = await self._http.send(
                "POST", path, json=body, params={**whole, **(params or {})}, timeout_s=_PAGE_TIMEOUT_S
            )
        except EngineRefused as exc:
            refused = self._refused(exc)
            if error_type(exc) == "circuit_breaking_exception":
                raise _TooLargeError(refused.code, refused.message, detail=refused.detail) from exc
            raise refused from exc
        except RunFailed as exc:
            if exc.code != "engine.refused":
                raise
            what = f"index {self._index!r} could not be read: {exc.message}"
            raise _TooLargeError("dump.failed", what, detail=exc.detail) from exc
        answer = one_line(answer)
        try:
            page = _pages.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            what = f"index {self._index!r}: a page of documents is not JSON, though the cluster took them as such: {exc}"
            raise RunFailed("dump.failed", what) from exc
        page.size_bytes = len(answer)
        # Newest first wins: the cluster may name another one with every answer, for the same view.
        self._pit_id = page.pit_id or self._pit_id
        if page.scroll_id:
            self._scrolls.add(page.scroll_id)
        self._require_whole(page)
        return page

    def _require_whole(self, page: _Page) -> None:
        if page.timed_out:
            raise RunFailed(
                "dump.incomplete",
                f"index {self._index!r}: a search timed out in the cluster and gave a part of its documents only: look what "
                "keeps it busy, and back up again",
            )
        if page.shards.failed:
            failures = b"\n".join([*page.shards.failures[:3]]).decode(errors="replace")
            raise RunFailed(
                "dump.incomplete",
                f"index {self._index!r}: {page.shards.failed} of {page.shards.total} shards could not be read: look at the "
                "cluster's health, and back up again",
                detail=failures[:4000] or None,
            )

    def _refused(self, exc: EngineRefused) -> RunFailed:
        kind = error_type(exc)
        if kind == "index_not_found_exception":
            what = f"index {self._index!r} was deleted while it was backed up: back up again"
            return RunFailed("dump.failed", what, detail=exc.detail)
        if exc.status == 404:
            what = (
                f"the cluster lost its place in index {self._index!r} (a node restarted, or the store was slow for too long)"
            )
            return RunFailed("dump.failed", f"{what}: back up again", detail=exc.detail)
        if exc.code == "engine.refused" or kind == BLOCKED:
            what = f"index {self._index!r} could not be read: {reason_of(exc)}"
            return RunFailed("engine.degraded" if exc.status == 503 else "dump.failed", what, detail=exc.detail)
        return exc

    def _total(self, page: _Page) -> int:
        total = page.hits.total
        if total is None or total.relation != "eq":
            raise RunFailed("dump.incomplete", f"the cluster did not say how many documents index {self._index!r} has")
        return total.value

    def _sort_of(self, hit: msgspec.Raw) -> msgspec.Raw:
        try:
            return _sorted.decode(hit).sort
        except msgspec.DecodeError as exc:
            raise RunFailed("dump.failed", f"index {self._index!r}: a document came without its place: {exc}") from exc

    def _pit(self) -> dict[str, str]:
        return {"id": self._pit_id, "keep_alive": f"{self._reading.keep_alive_s}s"}

    def _whole_source(self) -> dict[str, Any]:
        return {"_source": {"exclude_vectors": False}} if self._facts.hides_vectors else {}

    def _slice(self, number: int) -> dict[str, Any]:
        return {"slice": {"id": number, "max": self._slices}} if self._slices > 1 else {}

    async def _keep_alive(self) -> None:
        """For as long as nobody takes a page.  A failure is told by the next page."""
        while True:
            await asyncio.sleep(self._reading.keep_alive_s / 4)
            with contextlib.suppress(StrongroomError):
                await self._search({"size": 0, "track_total_hits": False, "pit": self._pit()})

    async def _together(self, slices: list[Any]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number, one in enumerate(slices):
                    group.create_task(one, name=f"slice:{self._index}:{number}")
        except BaseExceptionGroup as several:
            raise first_reason(several) from None


@asynccontextmanager
async def index_reader(
    http: EngineHttp, facts: ClusterFacts, index: str, *, slices: int, reading: Reading | None = None
) -> AsyncIterator[IndexReader]:
    """A reader of the index as it is now.  Raises: RunFailed `engine.*`, `dump.failed` when there is no such index."""
    reader = IndexReader(http, facts, index, slices=slices, reading=reading or Reading.of(facts))
    try:
        # Not to be cancelled before its answer: what has no name here yet could not be given back.
        await uncancelled(reader.open(), name=f"reader:open:{index}")
        yield reader
    finally:
        await uncancelled(reader.close(), name=f"reader:close:{index}")
