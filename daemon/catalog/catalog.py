"""All buckets together, with the keys their records live under."""

from __future__ import annotations

from datetime import UTC

from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts import subjects
from contracts.access import EndedSession, TokenRecord
from contracts.errors import Conflict, NotFound
from contracts.idempotency import KeyedRequest
from contracts.ids import check_run_id, check_slug
from contracts.notifications import Alert, ChannelRecord, PingRecord, ReadUntil, WatchRecord
from contracts.records import (
    ActiveRun,
    Alive,
    BackupRecord,
    Deletion,
    DueRecord,
    KeyRecord,
    NodeRecord,
    ProjectRecord,
    RestoreRecord,
    ServiceRecord,
    ServiceState,
    UploadRecord,
    UsageRecord,
)
from daemon.catalog.buckets import RecordBucket, Stored, key


class Catalog:
    """What the coordinator knows.  `find_*` answers None, `need_*` raises NotFound."""

    def __init__(self, client: Client, js: JetStreamContext) -> None:
        self.projects = RecordBucket(client, js, subjects.PROJECTS_BUCKET, ProjectRecord)
        self.services = RecordBucket(client, js, subjects.SERVICES_BUCKET, ServiceRecord)
        self.nodes = RecordBucket(client, js, subjects.NODES_BUCKET, NodeRecord)
        self.alive = RecordBucket(client, js, subjects.ALIVE_BUCKET, Alive)
        self.backups = RecordBucket(client, js, subjects.BACKUPS_BUCKET, BackupRecord)
        self.restores = RecordBucket(client, js, subjects.RESTORES_BUCKET, RestoreRecord)
        self.uploads = RecordBucket(client, js, subjects.UPLOADS_BUCKET, UploadRecord)
        self.active = RecordBucket(client, js, subjects.ACTIVE_BUCKET, ActiveRun)
        self.ledger = RecordBucket(client, js, subjects.LEDGER_BUCKET, DueRecord)
        self.states = RecordBucket(client, js, subjects.STATES_BUCKET, ServiceState)
        self.usage = RecordBucket(client, js, subjects.USAGE_BUCKET, UsageRecord)
        self.tokens = RecordBucket(client, js, subjects.TOKENS_BUCKET, TokenRecord)
        self.ended_sessions = RecordBucket(client, js, subjects.SESSIONS_BUCKET, EndedSession)
        self.idempotency = RecordBucket(client, js, subjects.IDEMPOTENCY_BUCKET, KeyedRequest)
        self.channels = RecordBucket(client, js, subjects.CHANNELS_BUCKET, ChannelRecord)
        self.pings = RecordBucket(client, js, subjects.PINGS_BUCKET, PingRecord)
        self.watches = RecordBucket(client, js, subjects.WATCHES_BUCKET, WatchRecord)
        self.read_until = RecordBucket(client, js, subjects.WATCHES_BUCKET, ReadUntil)
        self.alerts = RecordBucket(client, js, subjects.ALERTS_BUCKET, Alert)
        self.keys = RecordBucket(client, js, subjects.KEYS_BUCKET, KeyRecord)

    async def need_project(self, project: str) -> Stored[ProjectRecord]:
        found = await self.projects.get(check_slug(project, "project"))
        if found is None:
            raise NotFound("project.not_found", f"there is no project {project!r}", field="project")
        return found

    async def need_service(self, project: str, service: str) -> Stored[ServiceRecord]:
        check_slug(service, "service")
        await self.need_project(project)
        found = await self.services.get(key(project, service))
        if found is None:
            raise NotFound("service.not_found", f"the project {project!r} has no service {service!r}", field="service")
        return found

    async def need_live_project(self, project: str) -> Stored[ProjectRecord]:
        """Raises: NotFound, Conflict `project.deleted` for one that is on its way out."""
        found = await self.need_project(project)
        if found.value.deletion is not None:
            raise Conflict(
                "project.deleted",
                f"project {project!r} was deleted and goes for good at {_when(found.value.deletion)}: `strongroom project "
                f"undelete {project}` has it back",
                field="project",
            )
        return found

    async def need_live_service(self, project: str, service: str) -> tuple[ProjectRecord, Stored[ServiceRecord]]:
        """A service of which new backups may be made.  Raises: NotFound, Conflict `project.deleted`, `service.deleted`."""
        owner = await self.need_live_project(project)
        found = await self.need_service(project, service)
        if found.value.deletion is not None:
            raise Conflict(
                "service.deleted",
                f"service {project}/{service} was deleted and goes for good at {_when(found.value.deletion)}: `strongroom "
                f"service undelete {project}/{service}` has it back",
                field="service",
            )
        return owner.value, found

    async def need_node(self, node: str) -> Stored[NodeRecord]:
        found = await self.nodes.get(check_slug(node, "node"))
        if found is None:
            raise NotFound("node.not_found", f"there is no node {node!r}", field="node")
        return found

    async def need_backup(self, project: str, service: str, backup_id: str) -> Stored[BackupRecord]:
        check_run_id(backup_id, "backup")
        found = await self.backups.get(key(check_slug(project, "project"), check_slug(service, "service"), backup_id))
        if found is None:
            raise NotFound("backup.not_found", f"{project}/{service} has no backup {backup_id!r}", field="backup")
        return found

    async def need_restore(self, project: str, service: str, restore_id: str) -> Stored[RestoreRecord]:
        check_run_id(restore_id, "restore")
        found = await self.restores.get(key(check_slug(project, "project"), check_slug(service, "service"), restore_id))
        if found is None:
            raise NotFound("restore.not_found", f"{project}/{service} has no restore {restore_id!r}", field="restore")
        return found

    async def uploads_of(self, project: str, service: str, run_id: str) -> list[Stored[UploadRecord]]:
        return await self.uploads.select(key(project, service, run_id))


def _when(deletion: Deletion) -> str:
    return f"{deletion.purge_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def upload_key(record: UploadRecord) -> str:
    return key(record.project, record.service, record.run_id, str(record.attempt), str(record.index))


def backup_marker(project: str, service: str) -> str:
    """One backup of a service at a time."""
    return key("backup", project, service)


def restore_marker(project: str, service: str) -> str:
    """One restore into a service at a time."""
    return key("restore", project, service)


def deletion_marker(project: str, service: str, backup_id: str) -> str:
    return key("deletion", project, service, backup_id)
