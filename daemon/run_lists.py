"""Lists of backups and restores, newest first, held in memory for those that somebody looks at.

A page costs what was written since the page before, not what the list holds.  What is looked at least is forgotten, so that
memory is bounded however many lists there are; a list too long to be held is read anew each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

from contracts.records import BackupRecord, RestoreRecord
from daemon.catalog.buckets import RecordBucket, Stored
from daemon.catalog.mirror import Mirror

Run = TypeVar("Run", bound=BackupRecord | RestoreRecord)

MOST_RECORDS: Final = 10_000
"""Some 4 KiB each, with two artifacts."""


class RunLists(Generic[Run]):
    """The lists of one bucket.  `shown` is what lists show of a record."""

    def __init__(
        self, bucket: RecordBucket[Run], *, shown: Callable[[Run], Run] = lambda run: run, most_records: int = MOST_RECORDS
    ) -> None:
        self._bucket = bucket
        self._shown = shown
        self._most_records = most_records
        self._lists: dict[str, _List[Run]] = {}
        """By prefix, the one that was asked for last at the end."""

    async def newest_first(self, prefix: str) -> Sequence[Run]:
        """All runs whose keys begin with the tokens of `prefix`; only to be read.  Raises: Unavailable."""
        kept = self._lists.pop(prefix, None) or _List(Mirror(self._bucket, prefix))
        self._lists[prefix] = kept
        runs = await kept.look(self._shown)
        self._forget()
        return runs

    def _forget(self) -> None:
        held = sum(len(each.runs) for each in self._lists.values())
        while held > self._most_records:
            oldest = next(iter(self._lists))
            held -= len(self._lists.pop(oldest).runs)


class _List(Generic[Run]):
    def __init__(self, mirror: Mirror[Run]) -> None:
        self._mirror = mirror
        self._changes = 0
        self._shown: dict[str, tuple[Stored[Run], Run]] = {}
        self.runs: Sequence[Run] = ()

    async def look(self, shown: Callable[[Run], Run]) -> Sequence[Run]:
        records = await self._mirror.look()
        if self._mirror.changes != self._changes:
            self._changes = self._mirror.changes
            before, self._shown = self._shown, {}
            for name, stored in records.items():
                kept = before.get(name)
                self._shown[name] = kept if kept is not None and kept[0] is stored else (stored, shown(stored.value))
            self.runs = sorted((run for _, run in self._shown.values()), key=place, reverse=True)
        return self.runs


def place(run: BackupRecord | RestoreRecord) -> tuple[int, str, str, str]:
    """Of a run in every list: when it was asked for, then by its names."""
    return int(run.requested_at.timestamp() * 1_000_000), run.id, run.project, run.service
