"""Verbs of services: what is backed up, where and when."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from contracts.access import Role
from contracts.control.verb import Verb
from contracts.policy.freeze import Freeze
from contracts.policy.retention_policy import RetentionPolicy
from contracts.policy.schedule import Schedule
from contracts.policy.success import DueFigures
from contracts.records import DueRecord, RunSummary, ServiceRecord
from contracts.services import ServiceOptions
from contracts.standing import Level, Standing


class ServiceAdd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    name: str
    options: ServiceOptions
    nodes: list[str]
    schedule: Schedule | None = None
    """None: once a day between 00:00 and 01:00 UTC, at a moment of its own."""
    retention: RetentionPolicy = RetentionPolicy()


class ServiceChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    options: ServiceOptions | None = None
    nodes: list[str] | None = None


class ServiceList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of services, by name or the worst first."""

    project: str = ""
    search: str = ""
    """Words that all appear in project, name, kind or nodes."""
    level: Level | None = None
    worst_first: bool = False
    cursor: str = ""
    """`next_cursor` of the page before."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=5_000)] = 1_000


class ServiceRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str


class ServiceDelete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    actor: str = ""


class ServiceSetSchedule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    schedule: Schedule | None
    """None: the default, once a day at a moment of its own."""
    actor: str = ""


class ServiceDues(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    next: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 5
    """How many due times to come."""
    past: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 20
    """How many entries of the ledger, the newest first."""


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service with what is known of it now."""

    record: ServiceRecord
    kind: str
    last_completed: RunSummary | None
    last_run: RunSummary | None = None
    """The newest that has ended, whatever it ended with."""
    active: str = ""
    """The id of the backup under way."""
    next_due: datetime | None = None
    freeze: Freeze | None = None
    """Why retention deletes nothing of it at the moment."""
    standing: Standing = Standing(level=Level.GOOD)


class Services(msgspec.Struct, frozen=True, kw_only=True):
    services: list[ServiceView]
    next_cursor: str = ""
    """Of the page that follows; empty on the last."""
    total: int = 0
    """How many match, on all pages."""


class DueTimes(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule, what comes of it, and what became of it."""

    schedule: Schedule
    is_default: bool
    next: list[datetime]
    """In order."""
    past: list[DueRecord]
    """Newest first."""
    figures: DueFigures


SERVICE_ADD = Verb(
    "service.add",
    ServiceAdd,
    ServiceRecord,
    "Add a service to a project",
    role=Role.ADMIN,
    route="POST /projects/{project}/services",
)
SERVICE_CHANGE = Verb(
    "service.change",
    ServiceChange,
    ServiceRecord,
    "Change a service's options or nodes",
    role=Role.ADMIN,
    route="PATCH /projects/{project}/services/{service}",
)
SERVICE_LIST = Verb(
    "service.list",
    ServiceList,
    Services,
    "The services of a project, or all",
    role=Role.VIEWER,
    route="GET /services",
)
SERVICE_SHOW = Verb(
    "service.show",
    ServiceRef,
    ServiceView,
    "One service",
    role=Role.VIEWER,
    route="GET /projects/{project}/services/{service}",
)
SERVICE_SET_SCHEDULE = Verb(
    "service.set_schedule",
    ServiceSetSchedule,
    ServiceRecord,
    "Change when a service is backed up",
    role=Role.ADMIN,
    route="PUT /projects/{project}/services/{service}/schedule",
)
SERVICE_DUES = Verb(
    "service.dues",
    ServiceDues,
    DueTimes,
    "The next due times of a service, and what became of the last",
    role=Role.VIEWER,
    route="GET /projects/{project}/services/{service}/dues",
)
SERVICE_DELETE = Verb(
    "service.delete",
    ServiceDelete,
    ServiceRecord,
    "Delete a service, once its grace is over for good",
    role=Role.ADMIN,
    route="DELETE /projects/{project}/services/{service}",
)
SERVICE_UNDELETE = Verb(
    "service.undelete",
    ServiceDelete,
    ServiceRecord,
    "Have a deleted service back",
    role=Role.ADMIN,
    route="POST /projects/{project}/services/{service}/undelete",
)
