"""Counts the object store's calls where the client library announces them, so that no call can be forgotten."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from daemon.metrics.metrics import Metrics

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client

_BEGAN: Final = "strongroom_began"


def watch_store(client: S3Client, metrics: Metrics) -> None:
    """From now on every call of the client is counted, with its duration, its status and its further tries."""

    def begin(context: dict[str, Any], **_: Any) -> None:
        context[_BEGAN] = time.monotonic()

    def end(model: Any, context: dict[str, Any], http_response: Any, parsed: dict[str, Any], **_: Any) -> None:
        retries = parsed.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        metrics.note_store_call(model.name, str(http_response.status_code), _elapsed_s(context), retries)

    def fail(context: dict[str, Any], event_name: str, **_: Any) -> None:
        metrics.note_store_call(event_name.rpartition(".")[2], "none", _elapsed_s(context), 0)

    client.meta.events.register("before-call.s3", begin)
    client.meta.events.register("after-call.s3", end)
    client.meta.events.register("after-call-error.s3", fail)


def _elapsed_s(context: dict[str, Any]) -> float:
    began: float = context.get(_BEGAN, time.monotonic())
    return time.monotonic() - began
