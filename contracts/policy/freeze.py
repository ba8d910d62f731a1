"""Why retention holds still, as a value that records and events can carry."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec


class FreezeCause(StrEnum):
    RUN_FAILED = "run_failed"
    RUN_MISSED = "run_missed"
    SUSPICIOUS_SIZE = "suspicious_size"

    @property
    def in_words(self) -> str:
        """Short, for a line about each backup; `Freeze.reason` has the facts."""
        return _IN_WORDS[self]


_IN_WORDS: Final = {
    FreezeCause.RUN_FAILED: "the newest due run failed",
    FreezeCause.RUN_MISSED: "the newest due run was missed",
    FreezeCause.SUSPICIOUS_SIZE: "the newest backup is suspiciously small",
}


class Freeze(msgspec.Struct, frozen=True, kw_only=True):
    """Why nothing is deleted now."""

    cause: FreezeCause
    run_id: str
    """The run that looks unhealthy."""
    reason: str
