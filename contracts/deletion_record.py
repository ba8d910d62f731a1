"""What is written down, and signed, of a project that is gone for good; and what is kept while it goes.

Order: the deletion is begun (`DeletionRecord` under a key of its own, before anything goes), each backup is noted before it
goes (`DeletedBackup`), the sealed identities are erased on disk, the master key that sealed them is rotated away, and only
then the record is signed.  Until the rotation, copies of the sealed identities may lie in raft logs, snapshots and disk
images, which the old master key would open; so until then the project is not erased, and nothing says that it is.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

import msgspec

from contracts.custody import CustodyKind
from contracts.ids import RunId, Slug
from contracts.object_keys import ROOT
from contracts.records import BackupRecord, Bytes
from contracts.signed_record import canonical

KIND: Final = "project-deletion"
MOST_LISTED_BYTES: Final = 2 * 1024 * 1024
"""A list of backups that takes more than this is an object of its own: the record has to fit into a message of the bus."""


class DeletionStage(StrEnum):
    """How far a project's deletion has come, once there was no way back."""

    PURGING = "purging"
    """Backups, records and objects are going."""
    ERASED = "erased"
    """All of that is gone, the sealed identities on the servers' disks too; the master key that sealed them may be there."""
    VERIFIED = "verified"
    """Nothing that is held opens what was erased; the record is about to be signed."""
    SIGNED = "signed"
    """Done: the record is signed and stored."""


class ErasedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A managed identity of the project, which is no more."""

    key_id: str
    recipient: str
    created_at: datetime


class DeletedArtifact(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    object_key: str
    stored_bytes: Bytes
    sha256: str
    """Of the object, hexadecimal."""


class DeletedBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup as it was when it went; of a run without success, what there was of it."""

    service: Slug
    id: RunId
    kind: str
    """Of the service, such as `postgresql`."""
    was_completed: bool
    requested_at: datetime
    finished_at: datetime | None = None
    key_id: str = ""
    recipients: list[str] = []
    size_bytes: Bytes = 0
    artifacts: list[DeletedArtifact] = []


class BackupsFile(msgspec.Struct, frozen=True, kw_only=True):
    """The list of backups as an object of its own: a JSON array of them, whose digest is what was signed."""

    object_key: str
    sha256: str
    size_bytes: Bytes


class ProjectDeletion(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed: the content of a record of the kind `project-deletion`."""

    project: Slug
    created_at: datetime
    """Of the project: the same name may have been used before and after."""
    custody: CustodyKind
    keys: list[ErasedKey]
    """Empty with customer custody: the identities were never here."""
    recipients: list[str]
    """All that backups made last were encrypted to, recovery recipients included: whose identities others may hold."""
    services: list[Slug]
    backup_count: Bytes
    """Runs without success included."""
    stored_bytes: Bytes
    """Of all those backups."""
    backups: list[DeletedBackup]
    """The oldest first; empty when they are in `backups_file`."""
    backups_file: BackupsFile | None = None
    asked_at: datetime
    asked_by: str
    due_at: datetime
    """When the grace was over."""
    purged_at: datetime
    """When the last backup, object and record was gone."""
    keys_erased_at: datetime | None = None
    """When the sealed identities were overwritten on the servers' disks."""
    erased_at: datetime
    """When it was seen that nothing that is held opens them any more."""
    verification: list[str]
    """How that was seen, in sentences."""
    caveats: list[str]
    """What this record does not say, in sentences."""


class DeletionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of it, one key each, and never removed."""

    id: RunId
    """Follows from the project and the moment it was deleted: whoever is cut off goes on with the same."""
    project: Slug
    stage: DeletionStage
    created_at: datetime
    """Of the project."""
    custody: CustodyKind
    keys: list[ErasedKey] = []
    recipients: list[str] = []
    services: list[Slug] = []
    asked_at: datetime
    asked_by: str = ""
    due_at: datetime
    begun_at: datetime
    purged_at: datetime | None = None
    keys_erased_at: datetime | None = None
    erased_revisions: dict[str, int] = {}
    """By key id: the places in the stream where the sealed identities stood."""
    witness: bytes = b""
    """Random bytes that the master key of that moment sealed: they open for as long as it is held anywhere here.  It is made
    to be left behind, so a rotation does not seal it anew."""
    waits_for: str = ""
    """Why it has not come further, in a sentence."""
    erased_at: datetime | None = None
    verification: list[str] = []
    backup_count: Bytes = 0
    stored_bytes: Bytes = 0
    signer: str = ""
    """Id of the key that signed."""
    object_key: str = ""
    """Of the signed record in the object store."""

    @property
    def is_done(self) -> bool:
        return self.stage is DeletionStage.SIGNED


def deleted_backup(record: BackupRecord) -> DeletedBackup:
    """What is noted of a backup before it goes."""
    return DeletedBackup(
        service=record.service,
        id=record.id,
        kind=record.kind,
        was_completed=record.was_completed,
        requested_at=record.requested_at,
        finished_at=record.finished_at,
        key_id=record.key_id,
        recipients=record.recipients,
        size_bytes=record.size_bytes,
        artifacts=[
            DeletedArtifact(
                name=artifact.name,
                object_key=artifact.object_key,
                stored_bytes=artifact.stored_bytes,
                sha256=artifact.sha256,
            )
            for artifact in record.artifacts
        ],
    )


def listed(backups: list[DeletedBackup]) -> tuple[list[DeletedBackup], bytes]:
    """The backups in order, and the bytes of the list where it has to be an object of its own, else none."""
    ordered = sorted(backups, key=lambda backup: (backup.requested_at, backup.service, backup.id))
    data = canonical(ordered)
    return (ordered, b"") if len(data) <= MOST_LISTED_BYTES else ([], data)


_SINGLE: Final = (
    "Backups that were deleted one by one before the project was, by retention or by hand, are not listed: their objects "
    "were removed then, and copies of them open with the same identities as the backups that are listed."
)
_CUSTOMER: Final = (
    "The identities of this project were never held here: whoever holds them can open copies of its backups that were made "
    "elsewhere before, and only their holders can destroy them."
)
_MANAGED: Final = (
    "Copies of backups that were made elsewhere before are out of reach; the identities that were erased here open them no "
    "more.  Whoever opened a backup before has what was in it."
)
_SOURCE: Final = (
    "That the master key is gone was seen where the coordinator reads it from: copies of that file, credential or variable "
    "that people made elsewhere are theirs to destroy, and until then open what copies of the servers' old disks hold."
)


def caveats(custody: CustodyKind, recipients: list[str], keys: list[ErasedKey]) -> list[str]:
    """What nobody here can promise, said in the record itself."""
    if custody is CustodyKind.CUSTOMER:
        return [_CUSTOMER, _SINGLE]
    managed = {key.recipient for key in keys}
    said = [_MANAGED, _SINGLE, _SOURCE]
    if others := [recipient for recipient in recipients if recipient not in managed]:
        said.insert(
            1,
            f"Backups were also encrypted to {', '.join(others)}: whoever holds an identity of these recipients can still "
            "open copies of them.",
        )
    return said


def record_object_key(project: str, deletion_id: str) -> str:
    """Under no project: `-` is no project's name, so purging never comes there."""
    return f"{ROOT}-/deletions/{project}/{deletion_id}.json"


def backups_object_key(project: str, deletion_id: str) -> str:
    return f"{ROOT}-/deletions/{project}/{deletion_id}.backups.json"
