"""What the coordinator keeps: one Struct per KV bucket.  Agents never read or write these."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from contracts.errors import ErrorInfo
from contracts.ids import RunId, Slug
from contracts.policy.freeze import Freeze
from contracts.policy.quota_plan import MOST_QUOTA_BYTES, QuotaPlan
from contracts.policy.retention_policy import RetentionPolicy
from contracts.policy.schedule import Schedule, default_schedule
from contracts.services import ServiceOptions

Bytes = Annotated[int, msgspec.Meta(ge=0)]
Attributes = dict[str, str | int | bool | list[str] | None]


class RunState(StrEnum):
    """`requested → running → completed | failed | cancelled | missed`, then `completed → deleting → deleted`."""

    REQUESTED = "requested"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MISSED = "missed"
    DELETING = "deleting"

    @property
    def is_active(self) -> bool:
        return self in (RunState.REQUESTED, RunState.RUNNING)


class RunKind(StrEnum):
    BACKUP = "backup"
    RESTORE = "restore"


class Trigger(StrEnum):
    MANUAL = "manual"
    SCHEDULE = "schedule"


class Deletion(msgspec.Struct, frozen=True, kw_only=True):
    """A project or service on its way out: until `purge_at` it can be had back, and its backups can be read."""

    at: datetime
    purge_at: datetime
    actor: str = ""
    purging: bool = False
    """Set when the grace is over and things begin to go: from then on there is no way back."""


class ProjectRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant: its keys protect its backups and nobody else's."""

    name: Slug
    created_at: datetime
    key_id: str
    """The managed key in the keys bucket, or empty when the project's identity is not held here (customer custody)."""
    recipients: list[str]
    """age recipients that every artifact of the project is encrypted to; the managed key's own is the first."""
    plan: QuotaPlan = QuotaPlan.CUSTOM
    quota_bytes: Annotated[int, msgspec.Meta(ge=1, le=MOST_QUOTA_BYTES)] = MOST_QUOTA_BYTES
    """What all its backups together may take in the bucket, those under way included."""
    deletion: Deletion | None = None


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A project's identity, sealed under the coordinator's master key and bound to the project's name and the key id."""

    project: Slug
    key_id: str
    recipient: str
    sealed_identity: bytes
    created_at: datetime


class ServiceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One database server or storage of a project, and the nodes whose agents can reach it."""

    project: Slug
    name: Slug
    created_at: datetime
    options: ServiceOptions
    nodes: list[Slug]
    """In the order they were named: where the engine knows no primary, a manual run goes to the first."""
    schedule: Schedule | None = None
    """None: once a day, at a moment of its own (`contracts.policy.schedule.default_schedule`)."""
    scheduled_since: datetime | None = None
    """Only what is due later than this counts: when the schedule was set, or the service was added or undeleted."""
    retention: RetentionPolicy = RetentionPolicy()
    deletion: Deletion | None = None

    @property
    def effective_schedule(self) -> Schedule:
        return self.schedule if self.schedule is not None else default_schedule(self.project, self.name)

    @property
    def due_after(self) -> datetime:
        return self.scheduled_since or self.created_at


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What lists tell of a backup that has ended, or that nobody was there to make."""

    id: RunId
    state: RunState
    requested_at: datetime
    """When it was asked for; of one that nobody made, when it was due."""
    finished_at: datetime | None = None
    trigger: Trigger = Trigger.SCHEDULE
    node: str = ""
    size_bytes: Bytes = 0
    elapsed_s: float | None = None
    error: ErrorInfo | None = None


class ServiceState(msgspec.Struct, frozen=True, kw_only=True):
    """What the coordinator remembers of a service beside what people set."""

    decided_until: datetime | None = None
    """Every due time up to this one has its entry in the ledger, and what had to follow from it has followed."""
    last_automatic_at: datetime | None = None
    """The due time of the newest automatic backup that completed, though it may be deleted since: who gets the time tags."""
    last_size_bytes: int | None = None
    """Of the newest completed backup: what the next one is expected to take."""
    last_completed: RunSummary | None = None
    """The newest backup that can be restored."""
    last_run: RunSummary | None = None
    """The newest that has ended, whatever it ended with."""
    freeze: Freeze | None = None
    """Why retention holds still, as it was stated last."""


class DueState(StrEnum):
    """What became of a due time."""

    DUE = "due"
    """Written down; what follows is not decided, or not yet possible."""
    REQUESTED = "requested"
    """Its run was handed to a node, and has not ended."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MISSED = "missed"
    """Nobody was there: no coordinator at the time, or no agent within the start deadline."""
    SKIPPED = "skipped"
    """The run before was still going on."""

    @property
    def is_open(self) -> bool:
        return self in (DueState.DUE, DueState.REQUESTED)


class DueRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the ledger: one due time of one service, written down before anybody acts on it."""

    project: Slug
    service: Slug
    due_at: datetime
    run_id: RunId
    """Of the run that it leads to, if it leads to one: it follows from the due time."""
    has_run: bool = False
    """Whether there was such a run."""
    state: DueState = DueState.DUE
    noted_at: datetime
    reason: str = ""


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A host that runs an agent."""

    name: Slug
    created_at: datetime
    recipient: str = ""
    """The node's own age recipient; file keys for a restore are sealed to it.  Set by its first heartbeat, then fixed."""


class ArtifactRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One object in the bucket: `age(zstd(the engine's native dump))`."""

    name: str
    """What it is a dump of, as the engine names it, such as a database's name."""
    kind: str
    """The engine's word for it, such as `database` or `globals`."""
    format: str
    """The native format inside, such as `pg_dump-custom` or `sql`."""
    object_key: str
    stored_bytes: Bytes
    """Size of the object."""
    plain_bytes: Bytes
    """Size of the native dump, before compression."""
    sha256: str
    """Of the stored object, hexadecimal; what `sha256sum` prints."""
    attributes: Attributes = {}
    """What a restore needs to know beforehand, such as the encoding and owner of a database."""


class BackupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a service, whatever became of it."""

    id: RunId
    project: Slug
    service: Slug
    kind: str
    state: RunState
    trigger: Trigger
    requested_at: datetime
    node: Slug
    placement: str
    """Why this node, in words."""
    options: ServiceOptions
    """The service's options when the backup was asked for."""
    recipients: list[str]
    """What its artifacts are encrypted to, like `key_id` the project's when the backup was asked for."""
    key_id: str
    due_at: datetime | None = None
    """The due time that this run answers; None for one that somebody asked for."""
    attempt: int = 1
    """Which try is the current one; grants and reports of any other are refused."""
    tried_nodes: list[Slug] = []
    """Where earlier attempts failed."""
    pinned: bool = False
    """Whether the node was asked for by name, so that no other takes over."""
    instance: str = ""
    """The agent process that holds the attempt; empty until one has claimed it."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    actor: str = ""
    tags: list[str] = []
    artifacts: list[ArtifactRecord] = []
    size_bytes: Bytes = 0
    """Stored bytes of all artifacts and the manifest."""
    plain_bytes: Bytes = 0
    manifest_key: str = ""
    summary: Attributes = {}
    """A few figures from the inventory, such as the number of tables."""
    warnings: list[str] = []
    error: ErrorInfo | None = None
    deleting_since: datetime | None = None
    deletion_reason: str = ""

    @property
    def was_completed(self) -> bool:
        """Whether it is or, before it began to be deleted, was a whole backup."""
        return self.state is RunState.COMPLETED or (self.state is RunState.DELETING and self.manifest_key != "")


class UploadRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact on its way: enough for any coordinator to sign, complete or abort it."""

    project: Slug
    service: Slug
    run_id: RunId
    attempt: int
    index: int
    """Position of the artifact in its run, from 1."""
    name: str
    kind: str
    format: str
    object_key: str
    upload_id: str
    """The store's multipart upload id; empty before the store has given one."""
    base_part_bytes: int
    created_at: datetime
    attributes: Attributes = {}
    closed: ArtifactRecord | None = None
    """Set once the object is complete and its size was checked."""


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of the quota that are a run's until it ends."""

    estimate_bytes: Bytes
    """What it was expected to take when it was asked for."""
    attempt: int = 1
    """Whose artifacts these are: those of attempts before are gone."""
    closed_bytes: Bytes = 0
    """Of artifacts that are complete."""
    open: dict[str, int] = {}
    """Of artifacts under way, by their index: as much as their granted parts can hold."""

    @property
    def taken_bytes(self) -> int:
        return self.closed_bytes + sum(self.open.values())

    @property
    def held_bytes(self) -> int:
        return max(self.estimate_bytes, self.taken_bytes)


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What a project takes in the bucket, and what its runs under way may still take: one record, so that no two runs can
    both have the last bytes."""

    project: Slug
    stored_bytes: Bytes = 0
    """Of all completed backups, manifests included."""
    reserved: dict[str, Reservation] = {}
    """By `service/run id`."""
    released: list[str] = []
    """Deletions whose bytes were given back already, while their records are still there."""

    @property
    def reserved_bytes(self) -> int:
        return sum(reservation.held_bytes for reservation in self.reserved.values())


class RestoreTarget(msgspec.Struct, frozen=True, kw_only=True):
    """Where a restore goes and what it may do there."""

    project: Slug
    service: Slug
    node: Slug
    rename: dict[str, str] = {}
    """New names for what is restored, such as `{"orders": "orders_copy"}`."""
    replace: bool = False
    """Whether a target that holds data may be replaced."""
    skip_roles: bool = False
    """Leave roles alone: do not create missing ones, and give everything to the role that restores."""
    directory: str = ""
    """Where on the node a directory tree or data directory is put; empty for where it came from, if the engine allows."""
    paths: list[str] = []
    """Of a directory tree, only these files and directories, relative to its root."""


class RestoreRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One restore, whatever became of it."""

    id: RunId
    backup_id: RunId
    project: Slug
    """Of the backup that is read, like `service`; where it goes is in `target`."""
    service: Slug
    kind: str
    state: RunState
    requested_at: datetime
    target: RestoreTarget
    artifacts: list[str]
    """Names of the artifacts to restore."""
    size_bytes: Bytes
    attempt: int = 1
    instance: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    actor: str = ""
    restored: Attributes = {}
    warnings: list[str] = []
    error: ErrorInfo | None = None

    @property
    def node(self) -> str:
        return self.target.node


AnyRun = BackupRecord | RestoreRecord


class Activity(StrEnum):
    BACKUP = "backup"
    RESTORE = "restore"
    DELETION = "deletion"


class ActiveRun(msgspec.Struct, frozen=True, kw_only=True):
    """Something under way that must not be forgotten, and of which there may be only one per key.

    Written before the record it is about and removed after that has reached its end, so a crash leaves at most a marker
    without a record or with an ended one; the reaper removes both kinds.
    """

    activity: Activity
    project: Slug
    """Of the record, like `service`."""
    service: Slug
    run_id: RunId
    since: datetime


class EngineHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent last saw of a service's engine."""

    reachable: bool
    version: str = ""
    role: str = ""
    """`primary`, `replica` or `` when the engine knows no roles."""
    lag_s: float | None = None
    missing_shards: list[str] = []
    """Parts of the engine's data that cannot be backed up from this node, for engines that spread it over several."""
    error: ErrorInfo | None = None


class RunRef(msgspec.Struct, frozen=True, kw_only=True):
    """A run that an agent is working on, and as which attempt."""

    run_id: RunId
    attempt: int


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    """A node's last heartbeat as the coordinator keeps it; the key's TTL removes it when the heart stops."""

    node: Slug
    seen_at: datetime
    agent_version: str = ""
    started_at: datetime | None = None
    services: dict[str, EngineHealth] = {}
    """Keys are `project/service`."""
    running: list[RunRef] = []
