"""A tree as the contract suite wants its engines."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread  # noqa: F401 - which is otherwise loaded when first used: perhaps as a user who may not
import contextlib
import itertools
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from agents.drivers.base import Driver, DumpSource, PlannedArtifact
from agents.drivers.shared_storage.connection import SharedStorageConnection
from agents.drivers.shared_storage.driver import SharedStorageDriver
from agents.drivers.shared_storage.dump import TarDump
from contracts.records import EngineHealth, RestoreTarget
from contracts.services import SharedStorageOptions
from tests.agents.drivers.contract import EngineUnderTest
from tests.agents.drivers.shared_storage import trees

NOBODY = 65534


@contextlib.contextmanager
def as_nobody(root: Path) -> Any:
    """Until left, this process is a user who may not read the tree; root may read everything."""
    if os.geteuid() != 0:
        mode = root.stat().st_mode
        root.chmod(0)
        try:
            yield
        finally:
            root.chmod(mode)
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


class UnprivilegedDriver(SharedStorageDriver):
    """Of an agent that may not read the tree."""

    async def health(self) -> EngineHealth:
        with as_nobody(Path(self._connection.root_dir)):
            return await super().health()

    async def plan_backup(self) -> Any:
        with as_nobody(Path(self._connection.root_dir)):
            return await super().plan_backup()


class Tree(EngineUnderTest):
    """`root` is the service; restores go back there, or below `elsewhere`."""

    login_errors = frozenset({"engine.permission"})

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = directory / "data"
        self.elsewhere = directory / "restores"
        self._away = directory / "away"
        self.root.mkdir()
        self.elsewhere.mkdir()
        directory.chmod(0o700)

    @property
    def connection(self) -> SharedStorageConnection:
        return SharedStorageConnection(root_dir=str(self.root), restore_dir=str(self.elsewhere))

    def with_options(self, options: SharedStorageOptions | None = None) -> SharedStorageDriver:
        return SharedStorageDriver(self.connection, options, runtime_dir=self.directory, work_dir=self.directory)

    def driver(self) -> Driver:
        return self.with_options()

    def driver_with_wrong_credentials(self) -> Driver:
        return UnprivilegedDriver(self.connection, runtime_dir=self.directory, work_dir=self.directory)

    def target(self, *, replace: bool = False, directory: str = "", paths: list[str] | None = None) -> RestoreTarget:
        return RestoreTarget(
            project="acme", service="files", node="node-1", replace=replace, directory=directory, paths=paths or []
        )

    async def content(self) -> Any:
        return await asyncio.to_thread(trees.content, self.root)

    async def content_of_target(self) -> Any:
        return await self.content()

    async def wipe(self) -> None:
        for path in self.root.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    async def change(self) -> None:
        (self.root / "added").write_text("x")
        (self.root / "large").write_bytes(b"other")
        shutil.rmtree(self.root / "links")

    async def occupy_target(self) -> None:
        assert any(self.root.iterdir())

    def writing(self) -> AbstractAsyncContextManager[None]:
        return self._writing()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[None]:
        (self.root / "live").mkdir()
        begun = asyncio.Event()

        async def write() -> None:
            for number in itertools.count():
                (self.root / "live" / f"new-{number % 100}").write_text("y" * 1000)
                with (self.root / "live" / "log").open("a") as log:
                    log.write("line\n")
                begun.set()
                await asyncio.sleep(0)

        task = asyncio.create_task(write())
        await begun.wait()
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def check_written_meanwhile(self, before: Any, restored: Any) -> None:
        live = {path: entry for path, entry in restored.items() if path.split(b"/")[0] == b"live"}
        others = {path: entry for path, entry in restored.items() if path not in live}
        before[b"."].pop("mtime_ns")  # of the root, in which a directory was made
        others[b"."].pop("mtime_ns")
        assert others == before
        assert b"live" in live

    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        (artifact,) = planned
        return artifact

    async def break_dump(self, source: DumpSource) -> None:
        assert isinstance(source, TarDump)
        os.kill(source.pid, 9)

    async def kill(self) -> None:
        self.root.rename(self._away)

    async def revive(self) -> None:
        self._away.rename(self.root)

    async def leftovers(self) -> list[str]:
        return trees.leftovers(self.directory)

    async def expected_counts(self) -> dict[str, int]:
        directories = [path for path in self.root.iterdir() if path.is_dir() and not path.is_symlink()]
        counts = {os.fsencode(path.name).decode(errors="surrogateescape"): trees.file_count(path) for path in directories}
        return {".": sum(1 for _ in self.root.iterdir()) - len(directories), **counts}
