"""Records of backups as the coordinator keeps them, for tests of what pages make of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from contracts.ids import new_run_id
from contracts.records import ArtifactRecord, BackupRecord, DueRecord, DueState, RunState, Trigger
from contracts.services import PostgreSQLOptions

AT = datetime(2027, 3, 10, 2, 30, tzinfo=UTC)
"""A Wednesday."""


def artifact(name: str = "orders", kind: str = "database", *, plain_bytes: int = 1000, **fields: Any) -> ArtifactRecord:
    made = ArtifactRecord(
        name=name,
        kind=kind,
        format="pg_dump-custom",
        object_key=f"strongroom/v1/acme/orders/x/1/0001-{name}.pgdump.zst.age",
        stored_bytes=plain_bytes // 4,
        plain_bytes=plain_bytes,
        sha256="0" * 64,
    )
    return msgspec.structs.replace(made, **fields)


def backup(at: datetime = AT, *artifacts: ArtifactRecord, **fields: Any) -> BackupRecord:
    """A completed automatic one."""
    made = BackupRecord(
        id=new_run_id(at),
        project="acme",
        service="orders",
        kind="postgresql",
        state=RunState.COMPLETED,
        trigger=Trigger.SCHEDULE,
        requested_at=at,
        due_at=at,
        node="node-1",
        placement="the only healthy node",
        options=PostgreSQLOptions(),
        recipients=["age1example"],
        key_id="key-1",
        started_at=at + timedelta(seconds=1),
        finished_at=at + timedelta(seconds=61),
        tags=["daily"],
        artifacts=list(artifacts),
        size_bytes=1000,
        plain_bytes=4000,
    )
    return msgspec.structs.replace(made, **fields)


def due(at: datetime, state: DueState) -> DueRecord:
    return DueRecord(project="acme", service="orders", due_at=at, run_id=new_run_id(at), state=state, noted_at=at)
