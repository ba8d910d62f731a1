"""What drivers have in common: what they are made of, and the parts of the contract to which most have nothing to say."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import Generic, TypedDict, TypeVar

from agents.drivers.base import BackupPlan, Capabilities, Scratch
from contracts.errors import RunFailed
from contracts.records import ArtifactRecord

ConnectionT = TypeVar("ConnectionT")
OptionsT = TypeVar("OptionsT")


class Directories(TypedDict):
    """On this host, for one service."""

    runtime_dir: Path
    """Private, and best on a memory file system: for secrets."""
    work_dir: Path
    """Private, and may hold gigabytes: for what an engine can only give or take as a file."""


class DriverDefaults(Generic[ConnectionT, OptionsT]):
    """For a kind of service with its own types of connection and options."""

    def __init__(self, connection: ConnectionT, options: OptionsT, directories: Directories) -> None:
        self._connection = connection
        self._options = options
        self._directories = directories

    @property
    def _runtime_dir(self) -> Path:
        return self._directories["runtime_dir"]

    @property
    def _work_dir(self) -> Path:
        return self._directories["work_dir"]

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def capabilities_of(self, artifacts: list[ArtifactRecord]) -> Capabilities:
        del artifacts
        return self.capabilities

    def holding(self, plan: BackupPlan) -> AbstractAsyncContextManager[None]:
        del plan
        return nullcontext()

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        del plan
        return []

    def restore_order(self, artifacts: list[ArtifactRecord]) -> list[ArtifactRecord]:
        return artifacts

    def scratch(self, directory: Path) -> AbstractAsyncContextManager[Scratch]:
        del directory
        raise RunFailed(
            "restore.unsupported",
            "a restore of this kind cannot be rehearsed on the agent's host: restore into a test server instead",
        )
