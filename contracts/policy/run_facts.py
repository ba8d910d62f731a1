"""What the retention rule looks at in a run, wherever the run was read from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from contracts.records import BackupRecord, RunState, Trigger


class RunFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One run of one service: a backup that completed, or one that did not.

    Holds nothing that could hold it, so that the cyclic garbage collector need not look at a million of them.
    """

    id: str
    """Unique among the runs that are judged together."""
    at: datetime
    """The moment it stands for, aware."""
    size_bytes: int
    tags: Sequence[str] = ()
    automatic: bool
    """Whether it ran because it was due."""
    state: RunState = RunState.COMPLETED


def facts_of(record: BackupRecord) -> RunFacts:
    """Of a record in the catalogue."""
    return RunFacts(
        id=record.id,
        at=record.due_at or record.requested_at,
        size_bytes=record.size_bytes,
        tags=record.tags,
        automatic=record.trigger is Trigger.SCHEDULE,
        state=record.state,
    )
