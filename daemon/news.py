"""What is heard of runs and of all that happens, whichever way it comes."""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar

import msgspec

from contracts.records import AnyRun, BackupRecord, RestoreRecord, RunKind
from contracts.reports import LogLine, Progress

T = TypeVar("T")


class Numbered(msgspec.Struct, Generic[T], frozen=True):
    """What a stream holds, and where: a reader that says the number of the last one it saw goes on after it."""

    sequence: int
    value: T


class Trouble(msgspec.Struct, frozen=True):
    """Why nothing new can be learned at the moment; it is still being tried."""

    message: str


RunNews: TypeAlias = BackupRecord | RestoreRecord | Progress | Numbered[LogLine] | Trouble


def kind_of(record: AnyRun) -> RunKind:
    return RunKind.BACKUP if isinstance(record, BackupRecord) else RunKind.RESTORE
