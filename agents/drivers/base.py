"""The driver contract: what the agent needs of an engine, and nothing about where the bytes go.

A driver plans a backup as a list of artifacts, gives each as a readable file descriptor and says afterwards whether the
dump is whole; for a restore it gives a writable one.  It never sees keys, parts or the object store.

File descriptors, not async iterators, because most dumps come from a program's standard output, and reading, compressing
and encrypting them happens in a worker thread without the event loop in between.  A driver whose engine speaks HTTP writes
into a pipe, see `agents.drivers.pipes`.

    plan_backup ─▶ holding ┬▶ dump ─▶ finish ┐ ─▶ finish_backup        check_restore ─▶ restore ─▶ finish, for each artifact
                           └▶ dump ─▶ finish ┘
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from contracts.records import ArtifactRecord, Attributes, EngineHealth, RestoreTarget


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a service's backups can be used for, beyond being restored as a whole to where they came from."""

    rename: bool = False
    """Artifacts can be restored under other names."""
    directory: bool = False
    """They are restored into a directory, which may be chosen."""
    paths: bool = False
    """Single files and directories can be restored."""
    skip_roles: bool = False
    """Owners and grants can be left out."""
    scratch: bool = False
    """A restore can be rehearsed on this host, see `Driver.scratch`."""


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
    """Plain JSON-able data: what is in there, object by object.  Under `counts`, by name of object, the number of rows,
    documents, points, messages or files in it where that is known exactly; a restore is compared by these.

    A driver may correct it in place until `finish_backup` has returned: some know only then what a dump holds exactly."""
    summary: Attributes
    tools: dict[str, str]
    warnings: list[str] = []
    parallel: int = 1
    """How many of the artifacts may be dumped at once."""


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

        What is returned says what was restored: under `in_place` its name at the target, where that is not the artifact's
        or its new one; a list of sentences under `warnings` is passed on to the operator.
        Raises: RunFailed `restore.failed` with the tool's last words; the target is then as it was before.
        """


Confirm = Callable[[], Awaitable[None]]
"""Asked directly before something that cannot be undone: returns when the run is still wanted, raises otherwise."""


async def confirmed() -> None:
    """Where nobody has to be asked."""


class Scratch(Protocol):
    """An empty instance of the engine on this host, for a rehearsal; nothing else uses it, and it goes with its context."""

    driver: Driver
    """Restores go here."""
    target: RestoreTarget
    """How: `project`, `service` and `node` are those of nobody."""

    async def inventory(self) -> Any:
        """Called once all is restored: what is in there, in the form of `BackupPlan.inventory`.

        Where a restore makes a data directory, a server is started on it first.
        Raises: RunFailed `restore.failed` when what was restored does not run.
        """


class Driver(Protocol):
    """One service's engine, as configured on this host.  Leaving any of its contexts without success undoes its work."""

    @property
    def capabilities(self) -> Capabilities:
        """Of backups as the service's options say they are made."""

    def capabilities_of(self, artifacts: list[ArtifactRecord]) -> Capabilities:
        """Of these artifacts, which another method may have made than the service has now."""

    async def health(self) -> EngineHealth:
        """What the engine says of itself, within a few seconds; an error is returned inside, not raised."""

    async def plan_backup(self) -> BackupPlan:
        """Looks; changes nothing.  Raises: RunFailed `engine.*`."""

    def holding(self, plan: BackupPlan) -> AbstractAsyncContextManager[None]:
        """What has to last from before the first dump until after the last, such as a snapshot that they share."""

    def dump(self, artifact: PlannedArtifact) -> AbstractAsyncContextManager[DumpSource]:
        """Starts the tool for one artifact of the plan; leaving the context stops it, whatever it is doing."""

    async def finish_backup(self, plan: BackupPlan) -> list[str]:
        """Called after the last dump has ended well: warnings of what changed in the engine since the plan was made.

        Raises: RunFailed `dump.incomplete` when the artifacts together are not a whole backup.
        """

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

    def scratch(self, directory: Path) -> AbstractAsyncContextManager[Scratch]:
        """A scratch instance with its data below `directory`, which is empty and private.

        Raises: RunFailed `restore.unsupported` where `capabilities.scratch` is false, `engine.tool_missing`.
        """
