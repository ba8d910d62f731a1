"""The verb that answers "are we safe?" for all projects at once."""

from __future__ import annotations

from datetime import datetime

import msgspec

from contracts.access import Role
from contracts.control.services import ServiceView
from contracts.control.verb import Verb
from contracts.policy.quota_plan import QuotaPlan
from contracts.records import Deletion
from contracts.standing import Level


class OverviewOf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""
    """Empty for all."""


class ProjectOverview(msgspec.Struct, frozen=True, kw_only=True):
    """How a project's services stand, all together."""

    project: str
    plan: QuotaPlan
    quota_bytes: int
    stored_bytes: int
    reserved_bytes: int
    """Held for runs under way."""
    services: int
    levels: dict[Level, int]
    """How many services stand at each level; all levels are there."""
    running: int
    """Backups under way."""
    last_completed_at: datetime | None = None
    next_due: datetime | None = None
    deletion: Deletion | None = None

    @property
    def level(self) -> Level:
        """That of its worst service."""
        return next((level for level in Level if self.levels[level]), Level.GOOD)


class Coming(msgspec.Struct, frozen=True, kw_only=True):
    """A backup that is due."""

    project: str
    service: str
    at: datetime


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    at: datetime
    projects: list[ProjectOverview]
    """Those with problems first, then by name."""
    services: int
    levels: dict[Level, int]
    attention: list[ServiceView]
    """The first hundred that are not good, the worst first."""
    running: int
    under_way: list[ServiceView] = []
    """The first twenty of those that run, the longest first."""
    next: list[Coming]
    """The first ten."""
    oldest: Coming | None = None
    """The service whose newest completed backup is the oldest of all, and when that was asked for."""
    nodes: int
    silent_nodes: list[str]
    """The first hundred, by name; always empty for a token of one project."""
    silent: int = 0
    """How many there are."""

    @property
    def level(self) -> Level:
        """The worst of all services; a silent node is a warning."""
        worst = next((level for level in (Level.PROBLEM, Level.WARNING) if self.levels[level]), Level.GOOD)
        return Level.WARNING if worst is Level.GOOD and self.silent else worst


OVERVIEW = Verb(
    "overview",
    OverviewOf,
    Overview,
    "Whether everything is safe: how all services stand, problems first",
    role=Role.VIEWER,
    route="GET /overview",
)
