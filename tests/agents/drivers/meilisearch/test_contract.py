"""The contract suite, against the protocol server or a real Meilisearch; see `tests.servers.meilisearch.real`."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import RunFailed
from tests.agents.drivers.contract import DriverContract, EngineUnderTest
from tests.agents.drivers.meilisearch.engine import MeilisearchUnderTest
from tests.agents.drivers.playing import back_up, finish_dump, read_all, restore
from tests.servers.meilisearch.control import HOLD_DUMPS
from tests.servers.meilisearch.real import RealMeilisearch
from tests.servers.waiting import eventually


class TestContract(DriverContract):
    """Everything as it stands, but for an engine that dies: when bytes of a dump flow, Meilisearch has done its part."""

    @pytest.mark.usefixtures("impatient")
    async def test_a_dump_whose_engine_dies_is_no_dump(self, engine: EngineUnderTest) -> None:
        """Bytes of a dump flow from a file that is whole, so the engine dies before: while it makes that file.

        Stricter than the original in what is left: the task goes on after the restart, and its dump is removed, too.
        """
        assert isinstance(engine, MeilisearchUnderTest)
        driver = engine.driver()
        plan = await driver.plan_backup()
        if isinstance(engine.server, RealMeilisearch):  # which cannot be held up: it is gone before it is asked
            await engine.kill()
            with pytest.raises(RunFailed) as caught:
                async with driver.holding(plan):
                    raise AssertionError("there is no dump")
        else:
            engine.server.control.set(HOLD_DUMPS)
            holding = asyncio.create_task(driver.holding(plan).__aenter__())
            await eventually(engine.makes_a_dump)
            await engine.kill()
            with pytest.raises(RunFailed) as caught:
                await holding
            engine.server.control.clear(HOLD_DUMPS)
        assert caught.value.code == "engine.unreachable"
        self._hides_secrets(engine, caught.value)
        await engine.revive()
        await back_up(engine.driver())
        assert await engine.leftovers() == []

    async def test_an_engine_that_dies_after_its_dump_was_made_does_no_harm(self, engine: EngineUnderTest) -> None:
        """The other half of the above: what is read on is the whole dump, and it is a backup."""
        before = await engine.content()
        driver = engine.driver()
        plan = await driver.plan_backup()
        async with driver.holding(plan):
            await engine.kill()
            async with driver.dump(engine.large_artifact(plan.artifacts)) as source:
                data = await asyncio.to_thread(read_all, source.fd)
                assert await finish_dump(source, data) == []
        await engine.revive()
        assert await engine.leftovers() == []
        backup = await back_up(engine.driver())
        backup.artifacts[0] = (backup.records[0], data)
        await restore(engine.restoring_driver(), backup, engine.target())
        assert await engine.content_of_target() == before
