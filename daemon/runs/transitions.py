"""The state machine of a run, as functions of the record: no clock, no bus, no store."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

import msgspec

from contracts.errors import Conflict, ErrorInfo
from contracts.records import BackupRecord, RestoreRecord, RunState
from contracts.reports import BackupFinished, RestoreFinished

Run = TypeVar("Run", BackupRecord, RestoreRecord)


class AttemptsSpent(msgspec.Struct, frozen=True):
    """No further attempt is allowed; the run has to end as lost."""


def not_current(run_id: str, why: str) -> Conflict:
    return Conflict("run.not_current", f"run {run_id} is not yours to work on: {why}")


def check_current(record: Run, *, node: str, attempt: int) -> None:
    """Raises: Conflict `run.not_current` unless this node works on this attempt now."""
    if record.node != node:
        raise not_current(record.id, f"it belongs to node {record.node}")
    if record.state is not RunState.RUNNING:
        raise not_current(record.id, f"it is {record.state}")
    if record.attempt != attempt:
        raise not_current(record.id, f"attempt {record.attempt} has taken the place of attempt {attempt}")


def claim(record: Run, *, node: str, instance: str, now: datetime, max_attempts: int) -> Run | AttemptsSpent:
    """The record after `instance` took the run up; the very same record when it holds it already.

    Raises: Conflict `run.not_current` when there is nothing to take up.
    """
    if record.node != node:
        raise not_current(record.id, f"it belongs to node {record.node}")
    if record.state is RunState.REQUESTED:
        return msgspec.structs.replace(record, state=RunState.RUNNING, instance=instance, started_at=now)
    if record.state is not RunState.RUNNING:
        raise not_current(record.id, f"it is {record.state}")
    if record.instance == instance:
        return record
    if record.attempt >= max_attempts:
        return AttemptsSpent()
    return msgspec.structs.replace(record, attempt=record.attempt + 1, instance=instance, started_at=now)


def move(record: BackupRecord, node: str, reason: str) -> BackupRecord:
    """The record after another node was asked to take the run over, as a new attempt."""
    return msgspec.structs.replace(
        record,
        state=RunState.REQUESTED,
        node=node,
        placement=reason,
        attempt=record.attempt + 1,
        instance="",
        started_at=None,
        tried_nodes=[*record.tried_nodes, record.node],
    )


def complete_backup(record: BackupRecord, report: BackupFinished, *, manifest_key: str, manifest_bytes: int) -> BackupRecord:
    """The record of a backup all of whose bytes are in the bucket."""
    return msgspec.structs.replace(
        record,
        state=RunState.COMPLETED,
        finished_at=report.finished_at,
        artifacts=report.artifacts,
        size_bytes=sum(artifact.stored_bytes for artifact in report.artifacts) + manifest_bytes,
        plain_bytes=sum(artifact.plain_bytes for artifact in report.artifacts),
        manifest_key=manifest_key,
        summary=report.summary,
        warnings=report.warnings,
    )


def complete_restore(record: RestoreRecord, report: RestoreFinished) -> RestoreRecord:
    return msgspec.structs.replace(
        record,
        state=RunState.COMPLETED,
        finished_at=report.finished_at,
        restored=report.restored,
        warnings=report.warnings,
    )


def end_without_success(record: Run, state: RunState, error: ErrorInfo, now: datetime) -> Run | None:
    """The record of a run that is failed, cancelled or missed; None when it has ended already."""
    assert state in (RunState.FAILED, RunState.CANCELLED, RunState.MISSED)
    if not record.state.is_active:
        return None
    return msgspec.structs.replace(record, state=state, finished_at=now, error=error)
