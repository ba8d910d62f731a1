"""A message that is being sent when the coordinator stops is given a moment, and no more."""

from __future__ import annotations

import asyncio
import time

import pytest

from contracts.tasks import cancel_surely
from daemon.notifications.outlasting import outlasting


async def test_work_goes_on_for_a_moment_however_often_its_task_is_cancelled() -> None:
    done = asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.5)
        done.set()

    task = asyncio.create_task(outlasting(work(), grace_s=30))
    await asyncio.sleep(0)
    await cancel_surely(task)
    assert done.is_set()
    assert task.cancelled()


async def test_work_that_does_not_end_is_ended_after_that() -> None:
    begun = time.monotonic()
    task = asyncio.create_task(outlasting(asyncio.Event().wait(), grace_s=0.3))
    await asyncio.sleep(0)
    await cancel_surely(task)
    assert task.cancelled()
    assert 0.3 <= time.monotonic() - begun < 10


async def test_undisturbed_work_gives_its_result_or_its_error() -> None:
    async def work() -> int:
        return 7

    async def fails() -> int:
        raise ValueError

    assert await outlasting(work(), grace_s=1) == 7
    with pytest.raises(ValueError):  # noqa: PT011 - it is the work's own
        await outlasting(fails(), grace_s=1)
