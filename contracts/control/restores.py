"""Verbs of restores."""

from __future__ import annotations

from typing import Annotated

import msgspec

from contracts.access import Role
from contracts.control.backups import RunRefRequest
from contracts.control.verb import Verb
from contracts.custody import ArtifactHeader, ResealedHeader
from contracts.records import RestoreRecord, RunState


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
    headers: list[ResealedHeader] = []
    """Of every artifact that is restored, made by whoever holds the identity (`restore.prepare`).  Without any, the backup
    is opened with the project's managed key."""
    actor: str = ""


class RestorePrepare(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Like the fields of `RestoreCreate`."""

    project: str
    service: str
    id: str
    to_project: str = ""
    to_service: str = ""
    node: str = ""
    artifacts: list[str] = []


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody with the identity needs to seal a restore's artifacts to the node that restores them."""

    id: str
    """Of the backup, `latest` resolved."""
    node: str
    """That would restore it: name it in `restore.create`, since the headers are made for it."""
    recipient: str
    """The node's."""
    fingerprint: str
    """Of that recipient, for people to compare with what the host itself says."""
    recipients: list[str]
    """What the backup is encrypted to: an identity of any of them opens the headers."""
    key_id: str
    """Of the managed key that opens them too; empty when no such key is held here."""
    headers: list[ArtifactHeader]
    """Of each artifact that would be restored."""


class RestoreList(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    project: str = ""
    service: str = ""
    states: list[RunState] = []
    """Only these; all without any."""
    cursor: str = ""
    """`next_cursor` of the page before."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 200


class Restores(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first."""

    restores: list[RestoreRecord]
    next_cursor: str = ""
    """Of the page that follows; empty on the last."""
    total: int = 0
    """How many match, on all pages."""


RESTORE_CREATE = Verb(
    "restore.create",
    RestoreCreate,
    RestoreRecord,
    "Restore a backup",
    role=Role.OPERATOR,
    route="POST /projects/{project}/services/{service}/backups/{id}/restores",
)
RESTORE_LIST = Verb(
    "restore.list",
    RestoreList,
    Restores,
    "Restores of a service's backups, a project's, or all",
    role=Role.VIEWER,
    route="GET /restores",
)
RESTORE_SHOW = Verb(
    "restore.show",
    RunRefRequest,
    RestoreRecord,
    "One restore",
    role=Role.VIEWER,
    route="GET /projects/{project}/services/{service}/restores/{id}",
)
RESTORE_CANCEL = Verb(
    "restore.cancel",
    RunRefRequest,
    RestoreRecord,
    "Cancel a restore under way",
    role=Role.OPERATOR,
    route="POST /projects/{project}/services/{service}/restores/{id}/cancel",
)
RESTORE_PREPARE = Verb(
    "restore.prepare",
    RestorePrepare,
    Preparation,
    "What is needed to restore with an identity that is not held here",
    role=Role.OPERATOR,
    route="GET /projects/{project}/services/{service}/backups/{id}/preparation",
)
