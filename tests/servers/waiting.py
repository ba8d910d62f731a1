"""Waiting for a state instead of sleeping: polls quickly, gives up at a deadline, and says what it last saw."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, overload

T = TypeVar("T")
_FIRST_WAIT_S: Final = 0.005
_LONGEST_WAIT_S: Final = 0.1


@overload
async def eventually(predicate: Callable[[], Awaitable[T | None]], timeout_s: float = 10.0) -> T: ...


@overload
async def eventually(predicate: Callable[[], T | None], timeout_s: float = 10.0) -> T: ...


async def eventually(predicate: Callable[[], Any], timeout_s: float = 10.0) -> Any:
    """The first truthy value of `predicate()`, which may be a coroutine function.

    Raises: AssertionError with the last value when there was none by the deadline.  Errors of the predicate pass through.
    """
    deadline = time.monotonic() + timeout_s
    wait_s = _FIRST_WAIT_S
    while True:
        outcome = predicate()
        value = await outcome if inspect.isawaitable(outcome) else outcome
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s: the last value was {value!r}")
        await asyncio.sleep(wait_s)
        wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)


def eventually_blocking(predicate: Callable[[], T], timeout_s: float = 10.0) -> T:
    """As `eventually`, for code outside an event loop."""
    deadline = time.monotonic() + timeout_s
    wait_s = _FIRST_WAIT_S
    while not (value := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout_s} s: the last value was {value!r}")
        time.sleep(wait_s)
        wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S)
    return value
