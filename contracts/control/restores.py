"""Verbs of restores."""

from __future__ import annotations

from typing import Annotated

import msgspec

from contracts.access import Role
from contracts.control.backups import RunRefRequest
from contracts.control.verb import Verb
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
    actor: str = ""


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
