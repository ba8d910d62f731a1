"""The control verbs: what operators and programs ask of the coordinator.

Each verb is an endpoint of the NATS micro service `strongroom`, at `strongroom.control.<verb>`: a JSON object in, a JSON
object out.  An error comes as the service headers `Nats-Service-Error-Code` and `Nats-Service-Error`, with an `ErrorInfo` in
the payload.  A misspelt field is an error, not a default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Generic, Self, TypeVar

import msgspec

from contracts.policy.freeze import Freeze
from contracts.policy.quota_plan import QuotaPlan
from contracts.policy.retention import BackupClass, Decision, Rule, Verdict
from contracts.policy.retention_policy import RetentionPolicy
from contracts.policy.schedule import Schedule
from contracts.policy.success import DueFigures
from contracts.records import (
    Alive,
    ArtifactRecord,
    Attributes,
    BackupRecord,
    DueRecord,
    NodeRecord,
    ProjectRecord,
    RestoreRecord,
    ServiceRecord,
)
from contracts.services import ServiceOptions

Q = TypeVar("Q")
A = TypeVar("A")


class Nothing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No arguments, or nothing to say."""


class ProjectCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: str
    recovery_recipients: list[str] = []
    """Further age recipients, such as one whose identity lies in a safe."""
    plan: QuotaPlan = QuotaPlan.CUSTOM
    quota_bytes: int | None = None
    """With the plan `custom`; 1 TiB without it, which no quota passes."""


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
    project: str = ""


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


class ServiceSetRetention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    retention: RetentionPolicy
    dry_run: bool = False
    """Only say what would be deleted."""
    confirm: bool = False
    """Agree to that: without it, a change that deletes is refused with `retention.unconfirmed`."""
    actor: str = ""


class ServiceDues(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    next: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 5
    """How many due times to come."""
    past: Annotated[int, msgspec.Meta(ge=0, le=10_000)] = 20
    """How many entries of the ledger, the newest first."""


class NodeRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    node: str


class BackupCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    node: str = ""
    tags: list[str] = []
    actor: str = ""


class BackupList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""
    service: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200


class RunRefRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup or a restore, by the service whose record it is."""

    project: str
    service: str
    id: str
    actor: str = ""


class BackupDelete(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    id: str
    reason: str = "asked for by an operator"
    force: bool = False
    """Even one that bears a protected tag."""
    actor: str = ""


class BackupTag(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Changes the tags that people give; those that stand for periods are the coordinator's."""

    project: str
    service: str
    id: str
    add: list[str] = []
    remove: list[str] = []
    actor: str = ""


class BackupProtect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Gives the backup the first protected tag of its service's policy, or takes all of them away."""

    project: str
    service: str
    id: str
    protect: bool = True
    actor: str = ""


class BackupDownload(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed URL for one artifact; with `recipient`, also an age header that its identity opens."""

    project: str
    service: str
    id: str
    artifact: str
    recipient: str = ""


class RestoreCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    id: str
    """The backup, or `latest` for the newest completed one."""
    to_project: str = ""
    to_service: str = ""
    node: str = ""
    artifacts: list[str] = []
    rename: dict[str, str] = {}
    replace: bool = False
    skip_roles: bool = False
    directory: str = ""
    """See `contracts.records.RestoreTarget`, like `paths`."""
    paths: list[str] = []
    actor: str = ""


class RestoreList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""
    service: str = ""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service with what is known of it now."""

    record: ServiceRecord
    kind: str
    last_completed: BackupRecord | None
    active: str = ""
    """The id of the backup under way."""
    next_due: datetime | None = None
    freeze: Freeze | None = None
    """Why retention deletes nothing of it at the moment."""


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    record: NodeRecord
    alive: Alive | None
    """None when its heartbeats have stopped."""


class Projects(msgspec.Struct, frozen=True, kw_only=True):
    projects: list[ProjectRecord]


class Services(msgspec.Struct, frozen=True, kw_only=True):
    services: list[ServiceView]


class Nodes(msgspec.Struct, frozen=True, kw_only=True):
    nodes: list[NodeView]


class Backups(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    backups: list[BackupRecord]


class Restores(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    restores: list[RestoreRecord]


class DueTimes(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule, what comes of it, and what became of it."""

    schedule: Schedule
    is_default: bool
    next: list[datetime]
    """In order."""
    past: list[DueRecord]
    """Newest first."""
    figures: DueFigures


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


class BackupDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A backup with what its manifest says."""

    record: BackupRecord
    tools: dict[str, str] = {}
    inventory: Any = None
    """What was backed up, object by object; None where the identity that opens it is not held by the coordinator."""


class Download(msgspec.Struct, frozen=True, kw_only=True):
    artifact: ArtifactRecord
    url: str
    expires_at: datetime
    header: bytes = b""
    payload_offset: int = 0


class Status(msgspec.Struct, frozen=True, kw_only=True):
    version: str
    server: Attributes
    grace_days: float = 7
    """How long a deleted project or service can be had back."""


VERBS: Final[dict[str, Verb[Any, Any]]] = {}
"""All verbs by name."""


class Verb(Generic[Q, A]):
    """A verb's name and the types of its request and answer."""

    def __init__(self, name: str, request: type[Q], answer: type[A], doc: str) -> None:
        self.name = name
        self.request = request
        self.answer = answer
        self.doc = doc
        VERBS[name] = self


STATUS = Verb("status", Nothing, Status, "Which coordinator answers, and what it stands on")
PROJECT_CREATE = Verb("project.create", ProjectCreate, ProjectRecord, "Create a project with a key of its own")
PROJECT_LIST = Verb("project.list", Nothing, Projects, "All projects")
PROJECT_SHOW = Verb("project.show", ProjectRef, ProjectRecord, "One project")
PROJECT_DELETE = Verb("project.delete", ProjectDelete, ProjectRecord, "Delete a project, once its grace is over for good")
PROJECT_UNDELETE = Verb("project.undelete", ProjectDelete, ProjectRecord, "Have a deleted project back")
PROJECT_SET_QUOTA = Verb("project.set_quota", ProjectSetQuota, ProjectRecord, "Change how much a project may store")
PROJECT_USAGE = Verb("project.usage", ProjectUsage, Usage, "What a project stores, and whether bucket and records agree")
SERVICE_ADD = Verb("service.add", ServiceAdd, ServiceRecord, "Add a service to a project")
SERVICE_CHANGE = Verb("service.change", ServiceChange, ServiceRecord, "Change a service's options or nodes")
SERVICE_LIST = Verb("service.list", ServiceList, Services, "The services of a project, or all")
SERVICE_SHOW = Verb("service.show", ServiceRef, ServiceView, "One service")
SERVICE_SET_SCHEDULE = Verb("service.set_schedule", ServiceSetSchedule, ServiceRecord, "Change when a service is backed up")
SERVICE_SET_RETENTION = Verb(
    "service.set_retention", ServiceSetRetention, RetentionView, "Change what is kept, or say what that would delete"
)
SERVICE_DUES = Verb("service.dues", ServiceDues, DueTimes, "The next due times of a service, and what became of the last")
SERVICE_DELETE = Verb("service.delete", ServiceDelete, ServiceRecord, "Delete a service, once its grace is over for good")
SERVICE_UNDELETE = Verb("service.undelete", ServiceDelete, ServiceRecord, "Have a deleted service back")
RETENTION_PLAN = Verb("retention.plan", ServiceRef, RetentionView, "Why each backup of a service is kept, or goes")
NODE_ADD = Verb("node.add", NodeRef, NodeRecord, "Register a node")
NODE_LIST = Verb("node.list", Nothing, Nodes, "All nodes, and which are alive")
NODE_REMOVE = Verb("node.remove", NodeRef, Nothing, "Remove a node that no service names")
BACKUP_CREATE = Verb("backup.create", BackupCreate, BackupRecord, "Back a service up now")
BACKUP_LIST = Verb("backup.list", BackupList, Backups, "Backups of a service, a project, or all")
BACKUP_RECORD = Verb("backup.record", RunRefRequest, BackupRecord, "One backup's record, or the newest completed (latest)")
BACKUP_SHOW = Verb("backup.show", RunRefRequest, BackupDetail, "One backup with its inventory")
BACKUP_CANCEL = Verb("backup.cancel", RunRefRequest, BackupRecord, "Cancel a backup under way")
BACKUP_TAG = Verb("backup.tag", BackupTag, BackupRecord, "Change the tags of a backup")
BACKUP_PROTECT = Verb(
    "backup.protect", BackupProtect, BackupRecord, "Protect a backup from automatic deletion, or no longer"
)
BACKUP_DELETE = Verb("backup.delete", BackupDelete, Nothing, "Delete a backup and all its objects")
BACKUP_DOWNLOAD = Verb("backup.download", BackupDownload, Download, "A signed URL for one artifact")
RESTORE_CREATE = Verb("restore.create", RestoreCreate, RestoreRecord, "Restore a backup")
RESTORE_LIST = Verb("restore.list", RestoreList, Restores, "Restores of a service's backups, a project's, or all")
RESTORE_SHOW = Verb("restore.show", RunRefRequest, RestoreRecord, "One restore")
RESTORE_CANCEL = Verb("restore.cancel", RunRefRequest, RestoreRecord, "Cancel a restore under way")
