"""Artifacts side by side: no more at once than the plan allows, in the plan's order afterwards, and one end for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from agents.backup import upload_all
from agents.datapath.upload import Uploaded
from agents.drivers.base import BackupPlan, PlannedArtifact
from contracts.errors import RunFailed
from tests.agents.drivers.playing import record_of

Upload = Callable[[int, PlannedArtifact], Awaitable[Uploaded]]


def plan_of(count: int, parallel: int) -> BackupPlan:
    artifacts = [
        PlannedArtifact(name=f"a{number}", kind="database", format="sql", suffix="sql.zst.age", estimate_bytes=1)
        for number in range(1, count + 1)
    ]
    return BackupPlan(artifacts=artifacts, inventory={}, summary={}, tools={}, parallel=parallel)


class Uploads:
    """Uploads that begin at once and end when they are let go."""

    def __init__(self) -> None:
        self.running: dict[int, asyncio.Event] = {}
        self.cancelled: list[int] = []
        self.changed = asyncio.Condition()

    async def __call__(self, index: int, planned: PlannedArtifact) -> Uploaded:
        event = self.running[index] = asyncio.Event()
        async with self.changed:
            self.changed.notify_all()
        try:
            await event.wait()
        except asyncio.CancelledError:
            self.cancelled.append(index)
            raise
        del self.running[index]
        return Uploaded(record_of(planned, b"x"), [f"warning {index}"])

    async def until_running(self, *indexes: int) -> None:
        async with self.changed:
            await self.changed.wait_for(lambda: set(self.running) == set(indexes))

    def let_go(self, index: int) -> None:
        self.running[index].set()


async def test_as_many_as_the_plan_allows_run_at_once_and_come_back_in_order() -> None:
    uploads = Uploads()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        everything = group.create_task(upload_all(plan_of(4, parallel=2), uploads))
        await uploads.until_running(1, 2)
        uploads.let_go(2)
        await uploads.until_running(1, 3)
        uploads.let_go(3)
        await uploads.until_running(1, 4)
        uploads.let_go(1)
        uploads.let_go(4)
    assert [each.artifact.name for each in everything.result()] == ["a1", "a2", "a3", "a4"]
    assert [each.warnings for each in everything.result()] == [[f"warning {number}"] for number in range(1, 5)]


async def test_one_after_the_other_unless_the_plan_says_more() -> None:
    uploads = Uploads()
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(upload_all(plan_of(2, parallel=1), uploads))
        await uploads.until_running(1)
        uploads.let_go(1)
        await uploads.until_running(2)
        uploads.let_go(2)


async def test_the_first_that_fails_ends_the_others_and_none_is_begun_any_more() -> None:
    uploads = Uploads()

    async def second_fails(index: int, planned: PlannedArtifact) -> Uploaded:
        if index == 2:
            await uploads.until_running(1)
            raise RunFailed("dump.failed", "the tool died")
        return await uploads(index, planned)

    with pytest.raises(RunFailed, match="the tool died"):
        await upload_all(plan_of(3, parallel=2), second_fails)
    assert uploads.cancelled == [1]
    assert 3 not in uploads.running
