"""What every driver promises, as tests.  Each engine (and each of its methods) has a `test_contract.py` with

    class TestContract(DriverContract):
        @pytest.fixture
        async def engine(self, …) -> AsyncIterator[EngineUnderTest]: …

The engine is a real server, or follows its published protocol; it is looked at by a client that is not ours.
"""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agents.drivers.base import Confirm, Driver, DumpSource, PlannedArtifact, confirmed
from contracts.errors import Conflict, Corrupt, RunFailed, StrongroomError
from contracts.records import ArtifactRecord, RestoreTarget
from tests.agents.drivers.playing import Backup, back_up, feed, finish_dump, read_all, restore


class EngineUnderTest(ABC):
    """One engine, running and filled.

    Its content has odd names (spaces, quotes, umlauts, whatever the engine allows) and one artifact that is larger than
    pipes and sockets hold (4 MiB or more of random bytes), so that a dump of it can be caught in the middle.
    """

    login_errors = frozenset({"engine.auth_failed"})
    """Codes that wrong credentials may have."""
    secrets: tuple[str, ...] = ()
    """Texts that no error, warning, attribute or inventory may hold."""

    @abstractmethod
    def driver(self) -> Driver:
        """Of the service, with the rights that `deploy/` describes."""

    @abstractmethod
    def driver_with_wrong_credentials(self) -> Driver: ...

    def restoring_driver(self) -> Driver:
        """With the rights for restores, where those are others."""
        return self.driver()

    @abstractmethod
    def target(self, *, replace: bool = False) -> RestoreTarget:
        """Where restores go: after `wipe` it is empty, and otherwise it holds data."""

    @abstractmethod
    async def content(self) -> Any:
        """All of the service's data, to be compared with `==`."""

    @abstractmethod
    async def content_of_target(self) -> Any:
        """All that is at the target, in the form of `content`; None when there is nothing.

        Where restores make a data directory, a server is started on it for this, and stopped."""

    @abstractmethod
    async def wipe(self) -> None:
        """Nothing is left, in the service and at the target."""

    @abstractmethod
    async def change(self) -> None:
        """Something at the target is added, changed and removed."""

    @abstractmethod
    async def occupy_target(self) -> None:
        """Something is at the target; does nothing where that is the service itself."""

    @abstractmethod
    def writing(self) -> AbstractAsyncContextManager[None]:
        """Data are written all the time, into what exists and into new objects, until the context is left.

        Entering it returns once the first were written."""

    @abstractmethod
    def check_written_meanwhile(self, before: Any, restored: Any) -> None:
        """Asserts that all of `before` is there, and nothing that makes no sense."""

    @abstractmethod
    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        """The one that can be caught in the middle."""

    @abstractmethod
    async def break_dump(self, source: DumpSource) -> None:
        """Kills the program that dumps, or breaks the connection that the dump comes through."""

    @abstractmethod
    async def kill(self) -> None:
        """The engine is gone, as after a power failure; or the tree, where there is no engine."""

    @abstractmethod
    async def revive(self) -> None:
        """The engine runs again with its data."""

    @abstractmethod
    async def leftovers(self) -> list[str]:
        """What a backup or restore has left on the engine or the host: snapshots, dumps, sessions, temporary files."""

    @abstractmethod
    async def expected_counts(self) -> dict[str, int]:
        """The `counts` of an inventory taken now."""


class DriverContract:
    """The suite."""

    async def test_a_filled_instance_comes_back_as_it_was(self, engine: EngineUnderTest) -> None:
        before = await engine.content()
        backup = await back_up(engine.driver())
        await engine.wipe()
        await restore(engine.restoring_driver(), backup, engine.target())
        assert await engine.content_of_target() == before
        assert await engine.leftovers() == []

    async def test_an_empty_instance_comes_back(self, engine: EngineUnderTest) -> None:
        await engine.wipe()
        before = await engine.content()
        backup = await back_up(engine.driver())
        await engine.wipe()
        await restore(engine.restoring_driver(), backup, engine.target())
        assert await engine.content_of_target() == before

    async def test_what_is_written_meanwhile_does_no_harm(self, engine: EngineUnderTest) -> None:
        before = await engine.content()
        async with engine.writing():
            backup = await back_up(engine.driver())
        await engine.wipe()
        await restore(engine.restoring_driver(), backup, engine.target())
        engine.check_written_meanwhile(before, await engine.content_of_target())

    async def test_a_plan_says_what_is_there(self, engine: EngineUnderTest) -> None:
        plan = await engine.driver().plan_backup()
        names = [planned.name for planned in plan.artifacts]
        assert len(names) == len(set(names))
        for planned in plan.artifacts:
            assert planned.suffix.endswith(".zst.age")
            assert planned.estimate_bytes > 0
            assert planned.kind
            assert planned.format
        inventory = msgspec.json.decode(msgspec.json.encode(plan.inventory))
        assert inventory["counts"] == await engine.expected_counts()
        assert plan.tools
        assert plan.summary

    async def test_health_names_the_version(self, engine: EngineUnderTest) -> None:
        health = await engine.driver().health()
        assert health.error is None
        assert health.reachable
        assert health.version
        assert health.missing_shards == []

    async def test_wrong_credentials_are_told_from_an_engine_that_is_down(self, engine: EngineUnderTest) -> None:
        driver = engine.driver_with_wrong_credentials()
        health = await driver.health()
        assert health.error is not None
        assert health.error.code in engine.login_errors
        with pytest.raises(RunFailed) as caught:
            await driver.plan_backup()
        assert caught.value.code in engine.login_errors
        self._hides_secrets(engine, caught.value)

    async def test_an_engine_that_is_down_is_told_in_health_and_fails_the_plan(self, engine: EngineUnderTest) -> None:
        driver = engine.driver()
        await engine.kill()
        health = await driver.health()
        assert not health.reachable
        assert health.error is not None
        assert health.error.code == "engine.unreachable"
        with pytest.raises(RunFailed) as caught:
            await driver.plan_backup()
        assert caught.value.code == "engine.unreachable"

    async def test_a_dump_whose_tool_dies_is_no_dump(self, engine: EngineUnderTest) -> None:
        with pytest.raises(StrongroomError) as caught:
            await self._broken_dump(engine, engine.break_dump)
        assert caught.value.code in {"dump.failed", "dump.incomplete", "engine.unreachable"}
        self._hides_secrets(engine, caught.value)
        assert await engine.leftovers() == []

    async def test_a_dump_whose_engine_dies_is_no_dump(self, engine: EngineUnderTest) -> None:
        with pytest.raises(StrongroomError) as caught:
            await self._broken_dump(engine, lambda _: engine.kill())
        assert caught.value.code in {"dump.failed", "dump.incomplete", "engine.unreachable"}
        self._hides_secrets(engine, caught.value)
        await engine.revive()
        await back_up(engine.driver())
        assert await engine.leftovers() == []

    async def test_a_dump_that_is_left_in_the_middle_leaves_nothing_on_the_engine(self, engine: EngineUnderTest) -> None:
        driver = engine.driver()
        plan = await driver.plan_backup()
        async with driver.holding(plan), driver.dump(engine.large_artifact(plan.artifacts)) as source:
            await asyncio.to_thread(os.read, source.fd, 65536)
        assert await engine.leftovers() == []

    async def test_a_target_that_holds_data_is_left_alone(self, engine: EngineUnderTest) -> None:
        backup = await back_up(engine.driver())
        await engine.occupy_target()
        before = await engine.content_of_target()
        with pytest.raises(Conflict) as caught:
            await engine.restoring_driver().check_restore(backup.records, engine.target())
        assert caught.value.code == "restore.target_not_empty"
        assert await engine.content_of_target() == before

    async def test_a_target_is_replaced_when_that_was_said(self, engine: EngineUnderTest) -> None:
        before = await engine.content()
        backup = await back_up(engine.driver())
        await engine.occupy_target()
        await engine.change()
        await restore(engine.restoring_driver(), backup, engine.target(replace=True))
        assert await engine.content_of_target() == before
        assert await engine.leftovers() == []

    async def test_a_restore_that_is_cut_off_leaves_the_target_as_it_was(self, engine: EngineUnderTest) -> None:
        backup = await back_up(engine.driver())
        await engine.occupy_target()
        before = await engine.content_of_target()
        driver, target = engine.restoring_driver(), engine.target(replace=True)
        await driver.check_restore(backup.records, target)
        record, data = self._large(engine, backup)
        async with driver.restore(record, target, "20261122T000512Z-aaaa") as sink:
            await feed(sink, data[: len(data) // 2])
        assert await engine.content_of_target() == before
        assert await engine.leftovers() == []

    async def test_a_damaged_artifact_leaves_the_target_as_it_was(self, engine: EngineUnderTest) -> None:
        backup = await back_up(engine.driver())
        await engine.occupy_target()
        before = await engine.content_of_target()
        record, data = self._large(engine, backup)
        with pytest.raises((RunFailed, Corrupt)) as caught:
            await self._restore_alone(engine, record, data[: len(data) // 2])
        assert caught.value.code in {"restore.failed", "artifact.corrupt"}
        assert await engine.content_of_target() == before
        assert await engine.leftovers() == []

    async def test_a_restore_that_is_not_wanted_any_more_leaves_the_target_as_it_was(self, engine: EngineUnderTest) -> None:
        backup = await back_up(engine.driver())
        await engine.occupy_target()
        before = await engine.content_of_target()

        async def not_wanted() -> None:
            raise Conflict("run.not_current", "somebody else does it")

        record, data = self._large(engine, backup)
        with pytest.raises(Conflict):
            await self._restore_alone(engine, record, data, confirm=not_wanted)
        assert await engine.content_of_target() == before
        assert await engine.leftovers() == []

    async def test_a_restore_can_be_rehearsed_or_says_that_it_cannot(self, engine: EngineUnderTest, tmp_path: Path) -> None:
        driver = engine.driver()
        backup = await back_up(driver)
        directory = tmp_path / "scratch"
        directory.mkdir(mode=0o700)
        if not driver.capabilities.scratch:
            with pytest.raises(RunFailed) as caught:
                async with driver.scratch(directory):
                    pass
            assert caught.value.code == "restore.unsupported"
            return
        before = await engine.content()
        async with driver.scratch(directory) as scratch:
            await restore(scratch.driver, backup, scratch.target)
            restored = await scratch.inventory()
        assert restored["counts"] == await engine.expected_counts()
        assert await engine.content() == before
        assert list(directory.iterdir()) == []
        assert await engine.leftovers() == []

    async def test_nothing_that_is_said_holds_a_secret(self, engine: EngineUnderTest) -> None:
        backup = await back_up(engine.driver())
        said = msgspec.json.encode(
            [backup.records, backup.plan.summary, backup.plan.tools, backup.warnings, backup.plan.inventory]
        ).decode()
        assert [secret for secret in engine.secrets if secret in said] == []

    async def _broken_dump(self, engine: EngineUnderTest, breaking: Callable[[DumpSource], Awaitable[None]]) -> None:
        driver = engine.driver()
        plan = await driver.plan_backup()
        async with driver.holding(plan), driver.dump(engine.large_artifact(plan.artifacts)) as source:
            data = await asyncio.to_thread(os.read, source.fd, 65536)
            await breaking(source)
            data += await asyncio.to_thread(read_all, source.fd)
            await finish_dump(source, data)

    async def _restore_alone(
        self, engine: EngineUnderTest, record: ArtifactRecord, data: bytes, confirm: Confirm = confirmed
    ) -> None:
        driver, target = engine.restoring_driver(), engine.target(replace=True)
        async with driver.restore(record, target, "20261122T000512Z-bbbb", confirm=confirm) as sink:
            await feed(sink, data)
            await sink.finish()

    @staticmethod
    def _large(engine: EngineUnderTest, backup: Backup) -> tuple[ArtifactRecord, bytes]:
        name = engine.large_artifact(backup.plan.artifacts).name
        return next((record, data) for record, data in backup.artifacts if record.name == name)

    @staticmethod
    def _hides_secrets(engine: EngineUnderTest, exc: StrongroomError) -> None:
        said = f"{exc.message}\n{exc.detail}"
        assert [secret for secret in engine.secrets if secret in said] == []
