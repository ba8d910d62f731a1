"""What agents tell the coordinator.  Reports are claims: they count only from the node and attempt the record names."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from contracts.errors import ErrorInfo
from contracts.ids import RunId, Slug
from contracts.records import ArtifactRecord, Attributes, Bytes, EngineHealth, RunKind, RunRef
from contracts.wire import Decoder


class BackupFinished(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="backup.finished"):
    """Every artifact is stored and closed, and every tool ended well."""

    project: Slug
    service: Slug
    run_id: RunId
    attempt: int
    started_at: datetime
    finished_at: datetime
    artifacts: list[ArtifactRecord]
    summary: Attributes
    """A few figures for lists, such as `{"databases": 3, "tables": 120}`."""
    sealed_inventory: bytes
    """`age(zstd(JSON))` of what was backed up, object by object: readable for the project's recipients only."""
    tools: dict[str, str]
    """Versions of the programs that took part, such as `{"pg_dump": "15.18", "postgresql": "15.18"}`."""
    warnings: list[str] = []


class RestoreFinished(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="restore.finished"):
    """Everything asked for is restored and in place."""

    project: Slug
    service: Slug
    run_id: RunId
    attempt: int
    started_at: datetime
    finished_at: datetime
    restored: Attributes
    warnings: list[str] = []


class RunFailedReport(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="run.failed"):
    """The run could not be done; its uploads are given up."""

    run: RunKind
    project: Slug
    service: Slug
    run_id: RunId
    attempt: int
    failed_at: datetime
    error: ErrorInfo


Report = BackupFinished | RestoreFinished | RunFailedReport
report_decoder: Decoder[Report] = Decoder(Report)


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """Core NATS, every few seconds: this node lives, and what it sees and does."""

    sent_at: datetime
    started_at: datetime
    agent_version: str
    recipient: str
    """The node's own age recipient."""
    services: dict[str, EngineHealth]
    """Keys are `project/service`."""
    running: list[RunRef]


heartbeat_decoder: Decoder[Heartbeat] = Decoder(Heartbeat)


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Core NATS, about once a second while a run works; not stored."""

    run: RunKind
    project: Slug
    service: Slug
    run_id: RunId
    attempt: int
    phase: str
    """`preparing`, `dumping`, `restoring` or `finishing`."""
    artifact: str
    artifact_index: int
    artifact_count: int
    plain_bytes: Bytes
    """Native bytes of the run so far, all artifacts."""
    stored_bytes: Bytes
    """Bytes that the store has confirmed (of a restore: read from it), all artifacts."""
    estimate_bytes: Bytes
    """Native bytes expected in all; 0 when nobody knows."""
    elapsed_s: float


progress_decoder: Decoder[Progress] = Decoder(Progress)


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """One structured log line of a job."""

    run: RunKind
    project: Slug
    service: Slug
    run_id: RunId
    attempt: int
    at: datetime
    level: str
    event: str
    """A constant in dot-case, such as `artifact.closed`."""
    fields: dict[str, Any] = {}


log_decoder: Decoder[LogLine] = Decoder(LogLine)
