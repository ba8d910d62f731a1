"""Verbs of retention: what is kept, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Self

import msgspec

from contracts.access import Role
from contracts.control.services import ServiceRef
from contracts.control.verb import Verb
from contracts.policy.freeze import Freeze
from contracts.policy.retention import BackupClass, Decision, Rule, Verdict
from contracts.policy.retention_policy import RetentionPolicy


class ServiceSetRetention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    retention: RetentionPolicy
    dry_run: bool = False
    """Only say what would be deleted."""
    confirm: bool = False
    """Agree to that: without it, a change that deletes is refused with `retention.unconfirmed`."""
    actor: str = ""


class BackupVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the retention rule says of one backup, and why."""

    id: str
    at: datetime
    backup_class: BackupClass = msgspec.field(name="class")
    decision: Decision
    rule: Rule
    reason: str
    tags: list[str]
    size_bytes: int

    @classmethod
    def of(cls, verdict: Verdict) -> Self:
        run = verdict.run
        return cls(
            id=run.id,
            at=run.at,
            backup_class=verdict.backup_class,
            decision=verdict.decision,
            rule=verdict.rule,
            reason=verdict.reason,
            tags=list(run.tags),
            size_bytes=run.size_bytes,
        )


class RetentionView(msgspec.Struct, frozen=True, kw_only=True):
    """A policy held against the backups that there are."""

    project: str
    service: str
    policy: RetentionPolicy
    verdicts: list[BackupVerdict]
    """Newest first."""
    freeze: Freeze | None
    applied: bool
    """Whether the policy is now the service's, and what expires was deleted; not after a dry run."""

    @property
    def expired(self) -> list[BackupVerdict]:
        """Oldest first."""
        return [verdict for verdict in reversed(self.verdicts) if verdict.decision is Decision.EXPIRE]


SERVICE_SET_RETENTION = Verb(
    "service.set_retention",
    ServiceSetRetention,
    RetentionView,
    "Change what is kept, or say what that would delete",
    role=Role.ADMIN,
    route="PUT /projects/{project}/services/{service}/retention",
)
RETENTION_PLAN = Verb(
    "retention.plan",
    ServiceRef,
    RetentionView,
    "Why each backup of a service is kept, or goes",
    role=Role.VIEWER,
    route="GET /projects/{project}/services/{service}/retention/plan",
)
