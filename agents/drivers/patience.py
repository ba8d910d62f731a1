"""Trying again, for as long as an engine that restarts may need."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from contracts.errors import RunFailed

T = TypeVar("T")

_RETRY_WAIT_S: Final = 1.0


async def patiently(work: Callable[[], Awaitable[T]], *, passes: Callable[[RunFailed], bool], patience_s: float) -> T:
    """The work's result, as soon as it has one.  Raises: what `passes` says will not pass by itself, or has not in time."""
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        try:
            return await work()
        except RunFailed as exc:
            if not passes(exc) or asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(_RETRY_WAIT_S)
