"""Which indices and data streams a cluster has, and which of them a backup takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from agents.drivers.elasticsearch.cluster import ask_optional
from agents.drivers.elasticsearch.index_settings import flatten, is_true
from agents.drivers.elasticsearch.names import is_ours, path_chunks
from agents.drivers.http_engine import EngineHttp, EngineRefused
from agents.drivers.selecting import select
from contracts.errors import RunFailed
from contracts.services import ElasticsearchOptions

_ALL: Final = {"expand_wildcards": "all"}
_READABLE: Final = {"ignore_unavailable": "true", "expand_wildcards": "open,hidden"}
_COUNT_TIMEOUT_S: Final = 120.0


class IndexFacts(msgspec.Struct, frozen=True, kw_only=True):
    """An index in a cluster's list."""

    name: str
    health: str = ""
    """`green`, `yellow`, `red`; empty for one that is closed."""
    is_open: bool = True
    size_bytes: int = 0
    """On disk, without replicas."""
    stream: str = ""
    """The data stream that it belongs to."""


class DataStream(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    indices: list[str]
    """Oldest first; the last is the one that is written to."""
    template: str = ""


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    indices: list[IndexFacts]
    """By name, data streams' in their order; without what restores have left unfinished."""
    streams: list[DataStream]
    unfinished: list[str] = []
    """Indices that restores left which were cut off."""


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What an index's definition says about its backup."""

    documents: int
    aliases: list[str]
    shards: int
    not_stored: str = ""
    """Why its documents cannot be had, as half a sentence; empty when they can."""
    lossy: str = ""
    """What of its documents is not what was sent, as half a sentence."""


class _Row(msgspec.Struct, kw_only=True):
    index: str
    health: str | None = None
    status: str | None = None
    size: str | None = msgspec.field(name="pri.store.size", default=None)


class _StreamIndex(msgspec.Struct, kw_only=True):
    index_name: str


class _Stream(msgspec.Struct, kw_only=True):
    name: str
    indices: list[_StreamIndex]
    template: str = ""


class _Streams(msgspec.Struct, kw_only=True):
    data_streams: list[_Stream] = []


class _Index(msgspec.Struct, kw_only=True):
    aliases: dict[str, Any] = {}
    mappings: dict[str, Any] = {}
    settings: dict[str, Any] = {}


async def look_at_indices(http: EngineHttp) -> Catalogue:
    """Raises: RunFailed `engine.*`."""
    params = {"format": "json", "bytes": "b", "h": "index,health,status,pri.store.size", **_ALL}
    rows = await http.ask("GET", "/_cat/indices", type=list[_Row], params=params)
    streams = await look_at_streams(http)
    place = {index: (stream.name, number) for stream in streams for number, index in enumerate(stream.indices)}
    indices = [
        IndexFacts(
            name=row.index,
            health=row.health or "",
            is_open=row.status != "close",
            size_bytes=int(row.size) if row.size and row.size.isdecimal() else 0,
            stream=place.get(row.index, ("", 0))[0],
        )
        for row in rows
        if not is_ours(row.index)
    ]
    indices.sort(key=lambda index: place.get(index.name, (index.name, 0)))
    return Catalogue(indices=indices, streams=streams, unfinished=sorted(row.index for row in rows if is_ours(row.index)))


async def look_at_streams(http: EngineHttp) -> list[DataStream]:
    """None where the cluster knows no data streams.  Raises: RunFailed `engine.*`."""
    answer = await ask_optional(http, "/_data_stream/*", params=_ALL)
    if answer is None:  # OpenSearch does not know the parameter
        answer = await ask_optional(http, "/_data_stream")
    if answer is None:
        return []
    return [
        DataStream(name=stream.name, indices=[index.index_name for index in stream.indices], template=stream.template)
        for stream in msgspec.json.decode(answer, type=_Streams).data_streams
    ]


def choose(catalogue: Catalogue, options: ElasticsearchOptions) -> tuple[list[IndexFacts], list[str]]:
    """(indices to back up, warnings).  A data stream is chosen by its own name, and then all of its indices are.

    Names that begin with a dot are the cluster's own as a rule: they are taken only when a pattern that begins with one
    asks for them.  Raises: RunFailed `engine.database_not_found`.
    """
    plain = [index.name for index in catalogue.indices if not index.stream]
    known = [*plain, *(stream.name for stream in catalogue.streams)]
    dotted = [pattern for pattern in options.include if pattern.startswith(".")]
    others = [pattern for pattern in options.include if not pattern.startswith(".")]
    names: list[str] = []
    warnings: list[str] = []
    if others or not options.include:
        chosen, unmatched = select(
            [name for name in known if not name.startswith(".")], others, options.exclude, what="index"
        )
        names += chosen
        warnings += unmatched
    if dotted:
        chosen, unmatched = select([name for name in known if name.startswith(".")], dotted, options.exclude, what="index")
        names += chosen
        warnings += unmatched
    wanted = set(names)
    return [index for index in catalogue.indices if (index.stream or index.name) in wanted], warnings


def require_readable(indices: Sequence[IndexFacts]) -> None:
    """Raises: RunFailed `engine.degraded` for indices with shards that are nowhere, `engine.unsupported` for closed ones."""
    if closed := [index.name for index in indices if not index.is_open]:
        raise RunFailed(
            "engine.unsupported",
            f"{listed(closed)}: closed, so nothing in it can be read. Open it, or leave it out of the backup with --exclude",
        )
    if red := [index.name for index in indices if index.health == "red"]:
        raise RunFailed(
            "engine.degraded",
            f"{listed(red)}: no node has all shards of it (red). GET /_cluster/allocation/explain says why; bring the "
            "nodes back, or leave it out of the backup with --exclude",
        )


def require_stored(details: dict[str, Details]) -> list[str]:
    """Warnings.  Raises: RunFailed `engine.unsupported` naming the indices whose documents cannot be had."""
    if hopeless := {name: found.not_stored for name, found in details.items() if found.not_stored}:
        reason = next(iter(hopeless.values()))
        raise RunFailed(
            "engine.unsupported",
            f"{listed(hopeless)}: {reason}. Leave it out of the backup with --exclude, and make a snapshot of it "
            "(PUT /_snapshot/…) if it cannot be filled anew",
        )
    return [f"{name!r}: {found.lossy}" for name, found in details.items() if found.lossy]


async def refresh(http: EngineHttp, names: Iterable[str]) -> bool:
    """Makes what was written before visible to the backup; whether that was allowed.  Raises: RunFailed `engine.*`."""
    for _, path in path_chunks(names):
        try:
            await http.send("POST", f"{path}/_refresh", params=_READABLE, timeout_s=_COUNT_TIMEOUT_S)
        except EngineRefused as exc:
            if exc.code != "engine.permission":
                raise
            return False
    return True


async def look_at_details(http: EngineHttp, names: Sequence[str]) -> dict[str, Details]:
    """Of the indices that are still there, in the order of `names`.  Raises: RunFailed `engine.*`."""
    details: dict[str, Details] = {}
    for chunk, path in path_chunks(names):
        found = await http.ask(
            "GET", path, type=dict[str, _Index], params={"ignore_unavailable": "true", "expand_wildcards": "all"}
        )
        counts = await _count(http, path, len(chunk))
        for name in chunk:
            if name in found:
                details[name] = _details(found[name], counts.get(name, 0))
    return details


def listed(names: Iterable[str], most: int = 10) -> str:
    """The names as they go into a sentence."""
    known = list(names)
    words = ", ".join(map(repr, known[:most]))
    return words if len(known) <= most else f"{words} and {len(known) - most} more"


async def _count(http: EngineHttp, path: str, most: int) -> dict[str, int]:
    """Documents by index; an index without any is not in it."""
    # A bucket's own number believes what documents say in `_doc_count`.
    exact = {"n": {"value_count": {"field": "_index"}}}
    body = {"size": 0, "track_total_hits": True, "aggs": {"n": {"terms": {"field": "_index", "size": most}, "aggs": exact}}}
    answer = await http.ask(
        "POST",
        f"{path}/_search",
        params={**_READABLE, "allow_partial_search_results": "false"},
        json=body,
        timeout_s=_COUNT_TIMEOUT_S,
    )
    try:
        buckets = answer.get("aggregations", {}).get("n", {}).get("buckets", [])
        return {bucket["key"]: int(bucket["n"]["value"]) for bucket in buckets}
    except (AttributeError, KeyError, TypeError) as exc:
        raise RunFailed("engine.refused", f"the cluster at {http.url} did not count its documents: {answer}") from exc


def _details(index: _Index, documents: int) -> Details:
    settings = flatten(index.settings)
    source = index.mappings.get("_source") or {}
    not_stored = lossy = ""
    if source.get("enabled") in (False, "false"):
        not_stored = "its mapping has _source disabled, so the cluster does not keep its documents"
    elif is_true(settings.get("index.frozen")) or is_true(settings.get("index.search.throttled")):
        not_stored = "it is frozen, and searches pass it over"
    elif source.get("mode") == "disabled" or settings.get("index.mapping.source.mode") == "disabled":
        not_stored = "its mapping has _source disabled, so the cluster does not keep its documents"
    elif source.get("includes") or source.get("excludes"):
        lossy = (
            "includes or excludes of _source: the cluster keeps some fields of its documents only, and so does the backup"
        )
    elif source.get("mode") == "synthetic" or _is_synthetic(settings):
        lossy = "its _source is synthetic: documents come back with the same values, but not letter by letter"
    shards = settings.get("index.number_of_shards", "1")
    return Details(
        documents=documents,
        aliases=sorted(index.aliases),
        shards=int(shards) if str(shards).isdecimal() else 1,
        not_stored=not_stored,
        lossy=lossy,
    )


def _is_synthetic(settings: dict[str, Any]) -> bool:
    return settings.get("index.mapping.source.mode") == "synthetic" or settings.get("index.mode") in (
        "time_series",
        "logsdb",
    )
