"""What the coordinator states as fact, for everyone: stored on the events stream, one JSON object each."""

from __future__ import annotations

from datetime import datetime

import msgspec

from contracts.errors import ErrorInfo
from contracts.ids import RunId
from contracts.records import Attributes, RunState
from contracts.wire import Decoder


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One fact.  Fields that do not apply to its type are absent.

    `id` is derived from what happened, not drawn, so that a fact which two coordinators state is stored once.
    """

    id: str
    type: str
    """Such as `backup.completed`; the complete list is `EVENT_TYPES`."""
    at: datetime
    project: str = ""
    service: str = ""
    backup_id: RunId | None = None
    restore_id: RunId | None = None
    node: str | None = None
    attempt: int | None = None
    state: RunState | None = None
    actor: str | None = None
    size_bytes: int | None = None
    plain_bytes: int | None = None
    elapsed_s: float | None = None
    reason: str | None = None
    error: ErrorInfo | None = None
    warnings: list[str] | None = None
    facts: Attributes | None = None


EVENT_TYPES: dict[str, str] = {
    "project.created": "a project was created",
    "project.changed": "a project's quota was changed",
    "project.deleted": "a project was deleted; its backups stay until the grace is over",
    "project.undeleted": "a deleted project was had back",
    "project.purged": "a deleted project, its backups and its key are gone for good",
    "service.added": "a service was added to a project",
    "service.changed": "a service's options, nodes, schedule or retention were changed",
    "service.deleted": "a service was deleted; its backups stay until the grace is over",
    "service.undeleted": "a deleted service was had back",
    "service.purged": "a deleted service and its backups are gone for good",
    "node.added": "a node was registered",
    "node.removed": "a node was removed",
    "node.alive": "a node's first heartbeat arrived, or the first after a silence",
    "node.silent": "a node's heartbeats stopped",
    "backup.requested": "a backup was asked for and handed to a node",
    "backup.started": "an agent took the backup up",
    "backup.retried": "an attempt failed or was lost, and the next one began, here or on another node",
    "backup.completed": "every byte of a backup is in the bucket, counted and authenticated",
    "backup.failed": "a backup could not be made",
    "backup.cancelled": "a backup was cancelled",
    "backup.missed": "a backup was due or asked for, and nobody was there to make it",
    "backup.skipped": "a backup was due while the one before was still under way",
    "backup.tagged": "a backup's tags were changed",
    "backup.deleting": "a backup is being deleted",
    "backup.deleted": "a backup and all its objects are gone",
    "restore.requested": "a restore was asked for and handed to a node",
    "restore.started": "an agent took the restore up",
    "restore.completed": "a restore is in place",
    "restore.failed": "a restore could not be done",
    "restore.cancelled": "a restore was cancelled",
    "restore.missed": "a restore was asked for, and no agent took it up",
    "retention.frozen": "the newest backups of a service look unhealthy: nothing of it is deleted by a machine",
    "retention.resumed": "the newest backups of a service look healthy again",
    "access.called": "somebody asked the coordinator to change something, over NATS or HTTP, and was let or refused",
    "access.refused": "somebody was not let in",
    "token.created": "a token was made",
    "token.revoked": "a token was ended",
    "notification.failed": "a message or ping did not arrive in several tries",
    "request.refused": "an agent asked for something it may not have",
}

event_decoder: Decoder[Event] = Decoder(Event)


def cloud_event_headers(event: Event, source: str) -> dict[str, str]:
    """CloudEvents attributes as headers, binary mode.  Source: CloudEvents NATS protocol binding 1.0.2, section 3.1.

    The subject is what the event is about: `acme/orders/<run id>`, as much of it as applies, or the name of a node.
    """
    of = (event.project, event.service, event.restore_id or event.backup_id or "")
    about = "/".join(part for part in of if part) or event.node or ""
    return {
        "ce-specversion": "1.0",
        "ce-id": event.id,
        "ce-source": source,
        "ce-type": f"strongroom.{event.type}",
        "ce-time": event.at.isoformat().replace("+00:00", "Z"),
        "ce-datacontenttype": "application/json",
        "ce-dataschema": "urn:strongroom:schema:Event",
        **({"ce-subject": about} if about else {}),
    }
