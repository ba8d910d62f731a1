"""How a service stands: whether somebody has to look, and why."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """The worst first."""

    PROBLEM = "problem"
    """What should be safe is not, or soon will not be: somebody has to act."""
    WARNING = "warning"
    """Not as it should be for long."""
    GOOD = "good"
    OFF = "off"
    """Nobody wants backups of it: unscheduled, or deleted."""

    @property
    def rank(self) -> int:
        """From 0 for the worst."""
        return tuple(Level).index(self)


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One reason for a level."""

    code: CauseCode
    level: Level
    message: str
    """One sentence for a person."""


class CauseCode(StrEnum):
    FAILED = "failed"
    """The newest run failed."""
    MISSED = "missed"
    """The newest run was missed."""
    OVERDUE = "overdue"
    """A due time has passed, and nothing tells what became of it."""
    SUSPICIOUS = "suspicious"
    """The newest backup is suspiciously small."""
    NO_AGENT = "no_agent"
    """None of its nodes is alive."""
    NOT_CONFIGURED = "not_configured"
    """None of its nodes that are alive has connection settings for it."""
    ENGINE = "engine"
    """No node reaches its engine."""
    NO_BACKUP = "no_backup"
    """There is no completed backup."""
    UNSCHEDULED = "unscheduled"
    """Its schedule is off."""
    DELETED = "deleted"
    """It, or its project, was deleted."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """The worst level of all causes; `good` without any."""

    level: Level
    causes: list[Cause] = []
    """The worst first."""
