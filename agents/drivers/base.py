"""The driver contract: what the agent needs of an engine, and nothing about where the bytes go.

A driver plans a backup as a list of artifacts, gives each as a readable file descriptor and says afterwards whether the
dump is whole; for a restore it gives a writable one.  It never sees keys, parts or the object store.

File descriptors, not async iterators, because most dumps come from a program's standard output, and reading, compressing
and encrypting them happens in a worker thread without the event loop in between.  A driver whose engine speaks HTTP writes
into a pipe.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import msgspec

from contracts.records import ArtifactRecord, Attributes, EngineHealth, RestoreTarget


class PlannedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """One artifact that a backup is going to have."""

    name: str
    """As the engine names it, whatever characters that has."""
    kind: str
    format: str
    suffix: str
    """Ending of the object's name, such as `pgdump.zst.age`."""
    estimate_bytes: int
    """Expected size of the native dump; used for part sizes, progress and quota, and allowed to be wrong."""
    attributes: Attributes = {}


class BackupPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup is going to consist of, decided before the first byte."""

    artifacts: list[PlannedArtifact]
    inventory: Any
    """Plain JSON-able data: what is in there, object by object."""
    summary: Attributes
    tools: dict[str, str]
    warnings: list[str] = []


class DumpSource(Protocol):
    """A dump under way."""

    @property
    def fd(self) -> int:
        """Readable, blocking; end of file when the tool closed it, which does not yet mean that the dump is whole.

        The source owns it and closes it on leaving; readers must have stopped by then.
        """

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        """Called after end of file: the warnings of a dump that is whole.

        `plain_bytes` is the size of the native dump, `head` and `tail` are its first and last bytes, up to 1 KiB each.

        Raises: RunFailed `dump.failed` with the tool's last words, `dump.incomplete` when it ended well but did not write
        a whole dump (the completion mark is missing, nothing was written).
        """


class RestoreSink(Protocol):
    """A restore under way."""

    @property
    def fd(self) -> int:
        """Writable, blocking.  The sink owns it; writers must have stopped before `close_input` or leaving."""

    def close_input(self) -> None:
        """Tells the tool that there is no more: called once, after the last byte or when the tool has ended early."""

    async def finish(self) -> Attributes:
        """Called after the last byte was written and is authentic: waits for the tool, puts the result in place.

        What is returned says what was restored, such as `{"database": "orders_copy"}`; a list of sentences under
        `warnings` is passed on to the operator.
        Raises: RunFailed `restore.failed` with the tool's last words; the target is then as it was before.
        """


Confirm = Callable[[], Awaitable[None]]
"""Asked directly before something that cannot be undone: returns when the run is still wanted, raises otherwise."""


async def confirmed() -> None:
    """Where nobody has to be asked."""


class Driver(Protocol):
    """One service's engine, as configured on this host.  Leaving any of its contexts without success undoes its work."""

    async def health(self) -> EngineHealth:
        """What the engine says of itself, within a few seconds; an error is returned inside, not raised."""

    async def plan_backup(self) -> BackupPlan:
        """Looks; changes nothing.  Raises: RunFailed `engine.*`."""

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        """Starts the tool for one artifact of the plan; leaving the context stops it, whatever it is doing."""

    async def check_restore(self, artifacts: list[ArtifactRecord], target: RestoreTarget) -> None:
        """Raises: RunFailed `engine.*`, Conflict `restore.target_not_empty` before anything is changed."""

    def restore(
        self, artifact: ArtifactRecord, target: RestoreTarget, run_id: str, *, confirm: Confirm = confirmed
    ) -> AbstractAsyncContextManager[RestoreSink]:
        """Starts the tool that takes one artifact.  `run_id` names what is unfinished, so that a person knows it.

        `confirm` is awaited in `finish` before the result takes its place: an agent that was cut off for hours must not
        replace a database that others have gone on using.  Leaving the context before `finish` returned leaves the target as
        it was.
        """

    def restore_order(self, artifacts: list[ArtifactRecord]) -> list[ArtifactRecord]:
        """The order in which artifacts have to be restored, such as roles before databases."""
