"""Filters of tasks, as query parameters of lists, cancelations and deletions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from tests.servers.meilisearch.errors import ApiError
from tests.servers.meilisearch.queue import KIND_NAMES

_LISTS: Final = {"uids": "uid", "batchUids": "batchUid", "canceledBy": "canceledBy", "statuses": "status", "types": "type"}
_LISTS_OF_NAMES: Final = {"indexUids": "indexUid"}
_TIMES: Final = {
    f"{side}{name[0].upper()}{name[1:]}": (side, name)
    for side in ("after", "before")
    for name in ("enqueuedAt", "startedAt", "finishedAt")
}
_PAGING: Final = frozenset({"limit", "from", "reverse"})
_STATUSES: Final = frozenset({"enqueued", "processing", "succeeded", "failed", "canceled"})


def require_filters(query: Mapping[str, str], doing: str) -> None:
    """Raises: ApiError: all tasks at once must be asked for by `*`."""
    if not query:
        message = f"Query parameters to filter the tasks to {doing} are missing. Available query parameters are: `uids`, "
        raise ApiError(
            "missing_task_filters", message + "`indexUids`, `statuses`, `types`, `canceledBy`, `beforeEnqueuedAt`."
        )


def matching(tasks: list[dict[str, Any]], query: Mapping[str, str], *, paging: bool = False) -> list[dict[str, Any]]:
    """Those that all filters let through.  Raises: ApiError."""
    for name, value in query.items():
        if name in _LISTS or name in _LISTS_OF_NAMES:
            if value != "*":
                tasks = _among(tasks, name, value.split(","))
        elif name in _TIMES:
            tasks = _beyond(tasks, *_TIMES[name], _time(name, value))
        elif not (paging and name in _PAGING):
            raise ApiError("bad_request", f"Unknown parameter `{name}`")
    return tasks


def _among(tasks: list[dict[str, Any]], name: str, values: list[str]) -> list[dict[str, Any]]:
    if name in {"uids", "batchUids", "canceledBy"} and not all(value.isdecimal() for value in values):
        raise ApiError("invalid_task_uids", f"Invalid value in parameter `{name}`: could not parse as a positive integer")
    if name == "statuses" and not _STATUSES.issuperset(values):
        raise ApiError("invalid_task_statuses", f"Invalid value in parameter `statuses`: `{values}`")
    if name == "types" and not set(KIND_NAMES.values()).issuperset(values):
        raise ApiError("invalid_task_types", f"Invalid value in parameter `types`: `{values}`")
    field = (_LISTS | _LISTS_OF_NAMES)[name]
    return [task for task in tasks if str(task[field]) in values]


def _beyond(tasks: list[dict[str, Any]], side: str, field: str, limit: datetime) -> list[dict[str, Any]]:
    timed = [(task, datetime.fromisoformat(task[field])) for task in tasks if task[field] is not None]
    return [task for task, at in timed if (at > limit if side == "after" else at < limit)]


def _time(name: str, value: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise ApiError("invalid_task_after_started_at", f"Invalid value in parameter `{name}`: `{value}`") from None
    if parsed.tzinfo is None:
        raise ApiError("invalid_task_after_started_at", f"Invalid value in parameter `{name}`: `{value}`")
    return parsed
