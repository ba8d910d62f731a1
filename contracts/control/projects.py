"""Verbs of projects: created, limited, deleted, had back."""

from __future__ import annotations

import msgspec

from contracts.access import Role
from contracts.control.verb import Verb
from contracts.policy.quota_plan import QuotaPlan
from contracts.records import ProjectRecord


class ProjectCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    recovery_recipients: list[str] = []
    """Further age recipients, such as one whose identity lies in a safe."""
    plan: QuotaPlan = QuotaPlan.CUSTOM
    quota_bytes: int | None = None
    """With the plan `custom`; 1 TiB without it, which no quota passes."""


class ProjectList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""
    """Only this one; empty for all."""


class ProjectRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str


class ProjectDelete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    actor: str = ""


class ProjectSetQuota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    plan: QuotaPlan
    quota_bytes: int | None = None
    actor: str = ""


class ProjectUsage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    check: bool = False
    """Whether every object of the project in the bucket is counted too, and held against the records."""


class Projects(msgspec.Struct, frozen=True, kw_only=True):
    projects: list[ProjectRecord]


class ServiceUsage(msgspec.Struct, frozen=True, kw_only=True):
    service: str
    backups: int
    size_bytes: int


class UsageDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Where bucket and records disagree."""

    prefix: str
    """Of a backup's objects."""
    recorded_bytes: int
    found_bytes: int
    problem: str


class UsageCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The project's objects, counted one by one."""

    objects: int
    found_bytes: int
    """Of completed backups; `under_way_bytes` and `differences` are not in it."""
    under_way_bytes: int
    """Of runs that have not ended."""
    differences: list[UsageDifference]

    @property
    def is_exact(self) -> bool:
        return not self.differences


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What a project takes, and what it may take."""

    project: str
    plan: QuotaPlan
    quota_bytes: int
    stored_bytes: int
    reserved_bytes: int
    """Held for runs under way."""
    services: list[ServiceUsage]
    """Counted from the records of the backups."""
    check: UsageCheck | None = None


PROJECT_CREATE = Verb(
    "project.create",
    ProjectCreate,
    ProjectRecord,
    "Create a project with a key of its own",
    role=Role.ADMIN,
    route="POST /projects",
)
PROJECT_LIST = Verb(
    "project.list",
    ProjectList,
    Projects,
    "All projects",
    role=Role.VIEWER,
    route="GET /projects",
)
PROJECT_SHOW = Verb(
    "project.show",
    ProjectRef,
    ProjectRecord,
    "One project",
    role=Role.VIEWER,
    route="GET /projects/{project}",
)
PROJECT_DELETE = Verb(
    "project.delete",
    ProjectDelete,
    ProjectRecord,
    "Delete a project, once its grace is over for good",
    role=Role.ADMIN,
    route="DELETE /projects/{project}",
)
PROJECT_UNDELETE = Verb(
    "project.undelete",
    ProjectDelete,
    ProjectRecord,
    "Have a deleted project back",
    role=Role.ADMIN,
    route="POST /projects/{project}/undelete",
)
PROJECT_SET_QUOTA = Verb(
    "project.set_quota",
    ProjectSetQuota,
    ProjectRecord,
    "Change how much a project may store",
    role=Role.ADMIN,
    route="PUT /projects/{project}/quota",
)
PROJECT_USAGE = Verb(
    "project.usage",
    ProjectUsage,
    Usage,
    "What a project stores, and whether bucket and records agree",
    role=Role.VIEWER,
    route="GET /projects/{project}/usage",
)
