"""What is asked of the demo, and what it answers: the document of `strongroom demo --json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from contracts.errors import Corrupt
from daemon.demo.compare import Comparison
from daemon.demo.proof import Proof
from daemon.demo.sample_data import DEFAULT_SIZE_BYTES
from daemon.demo.steps import StepResult


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may choose."""

    engine: str = "postgresql"
    """A kind of service, see `contracts.services`."""
    size_bytes: int = DEFAULT_SIZE_BYTES
    """Of the native dump that is backed up, about."""
    keep: bool = False
    """Whether the folder stays, with the bucket, the servers' data, the artifact and its key."""
    directory: Path | None = None
    """Where the demo's own folder is made; None: among the temporary files."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """A backup or a restore, in figures."""

    id: str
    native_bytes: int
    """What the engine's own tool wrote or read."""
    stored_bytes: int
    """What was stored in or read from the bucket, encrypted."""
    elapsed_s: float
    """From when the agent began until all of it was in place."""
    native_bytes_per_s: float


class DemoResult(msgspec.Struct, frozen=True, kw_only=True):
    """A round that came to its end; one that could not is an error instead."""

    engine: str
    """The kind of service."""
    passed: bool
    """Whether what was restored equals what was backed up, in everything that was compared."""
    data_bytes: int
    """Of the original, on the server's disk."""
    backup: Transfer
    restore: Transfer
    ratio: float
    """Native bytes for each stored one."""
    proof: Proof
    comparison: Comparison
    warnings: list[str]
    """What the agent said of the backup and the restore."""
    steps: list[StepResult]
    elapsed_s: float
    folder: str
    """Where everything is; empty when it was removed."""

    @property
    def exit_status(self) -> int:
        return 0 if self.passed else Corrupt.exit_status
