"""Work that is given a moment to end when its task is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from contracts.tasks import cancel_surely

T = TypeVar("T")


async def outlasting(work: Coroutine[Any, Any, T], *, grace_s: float) -> T:
    """The work's result.  Being cancelled lets the work go on for so long, however often one is cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    ends_at: float | None = None
    while not task.done():
        left = None if ends_at is None else ends_at - loop.time()
        if left is not None and left <= 0:
            break
        try:
            await asyncio.wait({task}, timeout=left)
        except asyncio.CancelledError:
            ends_at = ends_at if ends_at is not None else loop.time() + grace_s
    if ends_at is not None:
        await cancel_surely(task)
        raise asyncio.CancelledError
    return task.result()
