"""Verbs of backups: made, looked at, tagged, downloaded, deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import msgspec

from contracts.access import Role
from contracts.control.verb import Nothing, Verb
from contracts.records import ArtifactRecord, BackupRecord, RunState


class RunRefRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backup or a restore, by the service whose record it is."""

    project: str
    service: str
    id: str
    actor: str = ""


class BackupCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str
    service: str
    node: str = ""
    tags: list[str] = []
    actor: str = ""


class BackupList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""
    service: str = ""
    states: list[RunState] = []
    """Only these; all without any."""
    tag: str = ""
    cursor: str = ""
    """`next_cursor` of the page before."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200


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
    actor: str = ""


class Backups(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    backups: list[BackupRecord]
    next_cursor: str = ""
    """Of the page that follows; empty on the last."""
    total: int = 0
    """How many match, on all pages."""


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


BACKUP_CREATE = Verb(
    "backup.create",
    BackupCreate,
    BackupRecord,
    "Back a service up now",
    role=Role.OPERATOR,
    route="POST /projects/{project}/services/{service}/backups",
)
BACKUP_LIST = Verb(
    "backup.list",
    BackupList,
    Backups,
    "Backups of a service, a project, or all",
    role=Role.VIEWER,
    route="GET /backups",
)
BACKUP_RECORD = Verb(
    "backup.record",
    RunRefRequest,
    BackupRecord,
    "One backup's record, or the newest completed (latest)",
    role=Role.VIEWER,
    route="GET /projects/{project}/services/{service}/backups/{id}",
)
BACKUP_SHOW = Verb(
    "backup.show",
    RunRefRequest,
    BackupDetail,
    "One backup with its inventory",
    role=Role.OPERATOR,
    route="GET /projects/{project}/services/{service}/backups/{id}/detail",
)
BACKUP_CANCEL = Verb(
    "backup.cancel",
    RunRefRequest,
    BackupRecord,
    "Cancel a backup under way",
    role=Role.OPERATOR,
    route="POST /projects/{project}/services/{service}/backups/{id}/cancel",
)
BACKUP_TAG = Verb(
    "backup.tag",
    BackupTag,
    BackupRecord,
    "Change the tags of a backup",
    role=Role.OPERATOR,
    route="PATCH /projects/{project}/services/{service}/backups/{id}/tags",
)
BACKUP_PROTECT = Verb(
    "backup.protect",
    BackupProtect,
    BackupRecord,
    "Protect a backup from automatic deletion, or no longer",
    role=Role.OPERATOR,
    route="PUT /projects/{project}/services/{service}/backups/{id}/protection",
)
BACKUP_DELETE = Verb(
    "backup.delete",
    BackupDelete,
    Nothing,
    "Delete a backup and all its objects",
    role=Role.ADMIN,
    route="DELETE /projects/{project}/services/{service}/backups/{id}",
)
BACKUP_DOWNLOAD = Verb(
    "backup.download",
    BackupDownload,
    Download,
    "A signed URL for one artifact",
    role=Role.OPERATOR,
    route="GET /projects/{project}/services/{service}/backups/{id}/download",
    hands_out=True,
)
