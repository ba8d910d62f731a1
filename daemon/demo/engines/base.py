"""What the demo needs of an engine: a server of its own, data in it, and a way to see whether they came back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import msgspec

from contracts.records import ArtifactRecord
from contracts.services import ServiceOptions
from daemon.demo.snapshot import DatabaseSnapshot

Tell = Callable[[int], None]
"""Called with the bytes made so far."""


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """How the demo's restore is asked for: the fields of `contracts.control.RestoreCreate`."""

    words: str
    """For the step's title, such as `as shop_restored, beside the original`."""
    artifacts: list[str] = []
    rename: dict[str, str] = {}
    replace: bool = False
    directory: str = ""


class Opener(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine's own tool reads the stored artifact, after age and zstd."""

    argv: Sequence[str]
    """Of a program that reads the dump on its standard input and tells on its output what is in it."""
    command: str
    """The same in words, such as `pg_restore -l`."""
    magic: bytes
    """What the dump begins with; empty when that is not fixed."""
    describe: Callable[[bytes], str]
    """The program's output as half a sentence: `57 entries, the data of 9 tables among them`."""


class DemoServer(Protocol):
    """A server that runs, with its data below the demo's folder."""

    place: str
    """Such as `127.0.0.1:5432`."""
    options: ServiceOptions
    connection: Mapping[str, Any]
    """The `[connection]` of the service's file, `kind` included; see the kind's `agents.drivers.<kind>.connection`."""

    async def fill(self, size_bytes: int, tell: Tell) -> int:
        """Makes data whose native dump has about `size_bytes` (±20 %), the same ones each time; returns bytes on disk."""

    async def snapshot(self) -> DatabaseSnapshot:
        """All of the data, by content: `tables` are whatever holds records (collections, indices, streams, directories)."""

    async def make_room(self) -> Room:
        """Removes the data where they would be in the way of the restore, and says how to restore."""

    async def snapshot_restored(self) -> DatabaseSnapshot:
        """As `snapshot`, of what the restore made, under the original's names."""

    def choose(self, artifacts: Sequence[ArtifactRecord]) -> ArtifactRecord:
        """The one that the proof opens."""

    def opener(self, artifact: ArtifactRecord) -> Opener: ...


class DemoEngine(Protocol):
    """One kind of service."""

    kind: str
    title: str
    """Of a server, with its article: `a PostgreSQL server`."""
    data_title: str
    """What `fill` makes: `the database of a small shop`."""

    def check(self) -> None:
        """Raises: RunFailed `engine.tool_missing` naming every program that is missing and how to get it."""

    def running(self, folder: Path) -> AbstractAsyncContextManager[DemoServer]:
        """Starts the server, with everything of it in `folder`, which does not exist yet; leaving stops it, the data stay.

        Raises: Unavailable `engine.unreachable` with the server's own words."""
