"""Endless tasks that end when they are told to.

`asyncio.wait_for` of Python 3.11 returns its result, and forgets that it was cancelled, when both happen in one turn of the
event loop (CPython issue 86296; mended in 3.12).  The NATS client waits with it everywhere, so a loop around a request can
miss its one cancellation and go on for ever, and whoever waits for it with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_AGAIN_AFTER_S: Final = 0.2


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """The work's result; being cancelled cancels the work as often as it takes."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task})
    finally:
        await cancel_surely(task)
    return task.result()


async def cancel_surely(*tasks: asyncio.Task[Any]) -> None:
    """Returns when all tasks have ended, whatever they ended with; being cancelled meanwhile changes nothing but the end."""
    cancelled = False
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        try:
            await asyncio.wait(pending, timeout=_AGAIN_AFTER_S)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
