"""One engine to be measured: a server with data in it, and how the peer does the same work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.records import RestoreTarget
from contracts.services import ServiceOptions
from scripts.benches.cost import Cost
from scripts.benches.peer_side import Pipeline


@dataclass(frozen=True, kw_only=True)
class Case:
    """What stays the same over the repetitions."""

    connection: dict[str, Any]
    options: ServiceOptions
    target: RestoreTarget
    peer_name: str
    """Such as `mariadb-backup | zstd | age | rclone`."""
    make_room: Callable[[], Awaitable[None]]
    """Nothing is at the target any more; called before each restore, and each restore brings the data back."""
    check_restored: Callable[[], Awaitable[None]]
    """Raises unless our restore brought everything back: what does nothing is fast."""
    peer_backup: Callable[[Pipeline], Awaitable[Cost]] | None = None
    """Leaves the object for `peer_restore`."""
    peer_restore: Callable[[Pipeline, str], Awaitable[Cost]] | None = None
    """The second argument is the file of the age identity."""


Prepare = Callable[[Path], AbstractAsyncContextManager[Case]]
"""Starts the server below a directory, and fills it; leaving stops it."""


def target(**fields: Any) -> RestoreTarget:
    return RestoreTarget(project="bench", service="engine", node="bench", **fields)


def added(first: Cost, *others: Cost) -> Cost:
    """Several steps after each other as one."""
    return Cost(
        wall_s=first.wall_s + sum(other.wall_s for other in others),
        cpu_s=first.cpu_s + sum(other.cpu_s for other in others),
        memory_mib=max(first.memory_mib, *(other.memory_mib for other in others)) if others else first.memory_mib,
        stored_bytes=first.stored_bytes,
    )
