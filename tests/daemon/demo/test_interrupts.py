"""Ending in order when told to."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from daemon.demo.interrupts import stoppable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_lets_the_work_clean_up(number: signal.Signals) -> None:
    done: list[str] = []

    async def work() -> None:
        try:
            os.kill(os.getpid(), number)
            await asyncio.Event().wait()
        finally:
            done.append("cleaned up")

    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt):
        await stoppable(work())
    assert done == ["cleaned up"]
    assert signal.getsignal(number) is before


async def test_results_and_errors_pass_through() -> None:
    async def answer() -> int:
        return 42

    async def fail() -> int:
        raise ValueError("no")

    assert await stoppable(answer()) == 42
    with pytest.raises(ValueError, match="no"):
        await stoppable(fail())


async def test_cancelling_cancels_the_work() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(stoppable(work()), name="outer")
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
