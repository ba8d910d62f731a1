"""The control verbs: what operators and programs ask of the coordinator.

Each verb is an endpoint of the NATS micro service `strongroom`, at `strongroom.control.<verb>`: a JSON object in, a JSON
object out.  An error comes as the service headers `Nats-Service-Error-Code` and `Nats-Service-Error`, with an `ErrorInfo` in
the payload.  A misspelt field is an error, not a default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec

from contracts.records import (
    Alive,
    ArtifactRecord,
    Attributes,
    BackupRecord,
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


class ProjectRef(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str


class ServiceAdd(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    name: str
    options: ServiceOptions
    nodes: list[str]


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
PROJECT_DELETE = Verb("project.delete", ProjectRef, Nothing, "Delete a project that has no services")
SERVICE_ADD = Verb("service.add", ServiceAdd, ServiceRecord, "Add a service to a project")
SERVICE_CHANGE = Verb("service.change", ServiceChange, ServiceRecord, "Change a service's options or nodes")
SERVICE_LIST = Verb("service.list", ServiceList, Services, "The services of a project, or all")
SERVICE_SHOW = Verb("service.show", ServiceRef, ServiceView, "One service")
SERVICE_DELETE = Verb("service.delete", ServiceRef, Nothing, "Delete a service that has no backups")
NODE_ADD = Verb("node.add", NodeRef, NodeRecord, "Register a node")
NODE_LIST = Verb("node.list", Nothing, Nodes, "All nodes, and which are alive")
NODE_REMOVE = Verb("node.remove", NodeRef, Nothing, "Remove a node that no service names")
BACKUP_CREATE = Verb("backup.create", BackupCreate, BackupRecord, "Back a service up now")
BACKUP_LIST = Verb("backup.list", BackupList, Backups, "Backups of a service, a project, or all")
BACKUP_RECORD = Verb("backup.record", RunRefRequest, BackupRecord, "One backup's record, or the newest completed (latest)")
BACKUP_SHOW = Verb("backup.show", RunRefRequest, BackupDetail, "One backup with its inventory")
BACKUP_CANCEL = Verb("backup.cancel", RunRefRequest, BackupRecord, "Cancel a backup under way")
BACKUP_DELETE = Verb("backup.delete", BackupDelete, Nothing, "Delete a backup and all its objects")
BACKUP_DOWNLOAD = Verb("backup.download", BackupDownload, Download, "A signed URL for one artifact")
RESTORE_CREATE = Verb("restore.create", RestoreCreate, RestoreRecord, "Restore a backup")
RESTORE_LIST = Verb("restore.list", RestoreList, Restores, "Restores of a service's backups, a project's, or all")
RESTORE_SHOW = Verb("restore.show", RunRefRequest, RestoreRecord, "One restore")
RESTORE_CANCEL = Verb("restore.cancel", RunRefRequest, RestoreRecord, "Cancel a restore under way")
