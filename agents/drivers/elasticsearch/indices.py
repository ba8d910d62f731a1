"""The few things that restores do with whole indices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from agents.drivers.elasticsearch.cluster import BLOCKED, error_type, reason_of
from agents.drivers.elasticsearch.index_settings import flatten
from agents.drivers.http_engine import EngineHttp, EngineRefused, quote_path
from contracts.errors import RunFailed

_WORK_TIMEOUT_S: Final = 180.0
_SHARDS_TIMEOUT: Final = "120s"
_UNKNOWN_SETTING: Final = re.compile(r"unknown setting \[([^\]]+)\]")


class FoundIndex(msgspec.Struct, frozen=True, kw_only=True):
    """An index as it is now."""

    name: str
    aliases: dict[str, Any]
    settings: dict[str, Any]
    """Flat."""

    @property
    def uuid(self) -> str:
        return str(self.settings.get("index.uuid", ""))


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    aliases: dict[str, Any] = {}
    settings: dict[str, Any] = {}


class _Count(msgspec.Struct, frozen=True, kw_only=True):
    count: int
    shards: dict[str, Any] = msgspec.field(name="_shards", default_factory=dict)


class _Acknowledged(msgspec.Struct, frozen=True, kw_only=True):
    acknowledged: bool = False
    shards_acknowledged: bool = True


async def find_index(http: EngineHttp, name: str) -> FoundIndex | list[str] | None:
    """The index of that name; the indices behind it when it is an alias or data stream; None when there is neither.

    Raises: RunFailed `engine.*`.
    """
    try:
        found = await http.ask("GET", quote_path(name), type=dict[str, _Found])
    except EngineRefused as exc:
        if exc.status == 404:
            return None
        raise
    if name not in found:
        return sorted(found)
    return FoundIndex(name=name, aliases=found[name].aliases, settings=flatten(found[name].settings))


async def count_documents(http: EngineHttp, index: str) -> int:
    """What a search finds now.  Raises: RunFailed `engine.*`, `restore.failed` when a shard does not answer."""
    answer = await http.ask("GET", f"{quote_path(index)}/_count", type=_Count, timeout_s=_WORK_TIMEOUT_S)
    if answer.shards.get("failed"):
        raise RunFailed("restore.failed", f"the documents of {index!r} cannot be counted: not all of its shards answer")
    return answer.count


async def refresh_index(http: EngineHttp, index: str) -> None:
    """All that was loaded can be found, and is on disk.  Raises: RunFailed `engine.*`."""
    await http.send("POST", f"{quote_path(index)}/_flush", timeout_s=_WORK_TIMEOUT_S)
    await http.send("POST", f"{quote_path(index)}/_refresh", timeout_s=_WORK_TIMEOUT_S)


async def create_index(http: EngineHttp, index: str, body: Mapping[str, Any]) -> None:
    """Raises: EngineRefused, RunFailed `restore.failed` when its shards find no place."""
    params = {"wait_for_active_shards": "1", "timeout": _SHARDS_TIMEOUT}
    answer = await http.ask(
        "PUT", quote_path(index), type=_Acknowledged, json=body, params=params, timeout_s=_WORK_TIMEOUT_S
    )
    _require_shards(answer, index)


async def clone_index(
    http: EngineHttp, source: str, target: str, *, settings: Mapping[str, Any], aliases: Mapping[str, Any]
) -> None:
    """`target` with the documents of `source`, which must not be written to; their files are shared, not copied.

    Raises: EngineRefused, RunFailed `restore.failed` when its shards find no place.
    """
    answer = await http.ask(
        "POST",
        f"{quote_path(source)}/_clone{quote_path(target)}",
        type=_Acknowledged,
        json={"settings": settings, "aliases": aliases},
        params={"wait_for_active_shards": "1", "timeout": _SHARDS_TIMEOUT},
        timeout_s=_WORK_TIMEOUT_S,
    )
    _require_shards(answer, target)


async def put_settings(http: EngineHttp, index: str, settings: Mapping[str, Any]) -> None:
    """Raises: EngineRefused."""
    if settings:
        await http.send("PUT", f"{quote_path(index)}/_settings", json=settings, timeout_s=_WORK_TIMEOUT_S)


async def delete_index(http: EngineHttp, *indices: str) -> None:
    """Of several, all or none; those that are gone already are nobody's trouble.  Raises: RunFailed `engine.*`."""
    path = ",".join(quote_path(index)[1:] for index in indices)
    await http.send("DELETE", f"/{path}", params={"ignore_unavailable": "true"}, timeout_s=_WORK_TIMEOUT_S)


async def health_of(http: EngineHttp, index: str) -> str:
    """`green`, `yellow`, `red`, or `` for one that is closed or gone.  Raises: RunFailed `engine.*`."""
    params = {"format": "json", "h": "health,status", "expand_wildcards": "all"}
    try:
        rows = await http.ask("GET", f"/_cat/indices{quote_path(index)}", type=list[dict[str, str | None]], params=params)
    except EngineRefused as exc:
        if exc.status == 404:
            return ""
        raise
    return (rows[0].get("health") or "") if rows and rows[0].get("status") == "open" else ""


def unknown_setting(exc: EngineRefused) -> str:
    """The setting that the cluster does not know, which is why it refused; empty when that is not why."""
    found = _UNKNOWN_SETTING.search(reason_of(exc))
    return found[1] if found else ""


def failed(what: str, exc: EngineRefused) -> RunFailed:
    """The refusal as the restore's failure; a missing right stays one.  A block is none, though its status is the same."""
    if exc.code != "engine.refused" and error_type(exc) != BLOCKED:
        return exc
    return RunFailed("restore.failed", f"{what}: {reason_of(exc)}", detail=exc.detail)


def _require_shards(answer: _Acknowledged, index: str) -> None:
    if not answer.shards_acknowledged:
        raise RunFailed(
            "restore.failed",
            f"no node took the shards of {index!r} within {_SHARDS_TIMEOUT}: GET /_cluster/allocation/explain says why "
            "(disks that are nearly full, most often)",
        )
