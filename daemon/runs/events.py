"""Stating facts: events on their stream, once each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog
from nats.js import JetStreamContext

from contracts.bus import patiently
from contracts.events import EVENT_TYPES, Event, cloud_event_headers
from contracts.records import AnyRun, BackupRecord
from contracts.subjects import event_subject
from contracts.tracing import TRACEPARENT, SpanKind, carry, span
from contracts.wire import encode

log = structlog.get_logger()

SOURCE = "/strongroom/coordinator"


def _nobody(_: Event, __: AnyRun | None) -> None:
    return


class EventPublisher:
    """Publishes events; one that is published again within the stream's duplicate window is stored once."""

    def __init__(self, js: JetStreamContext, told: Callable[[Event, AnyRun | None], None] = _nobody) -> None:
        """`told` hears of every fact that nobody had stated before, and of the run that it is about."""
        self._js = js
        self._told = told

    async def publish(self, type_: str, *, key: str, at: datetime, about: AnyRun | None = None, **fields: Any) -> None:
        """`key` tells this fact from others of its type, such as `<run id>:<attempt>`."""
        assert type_ in EVENT_TYPES, type_
        event = Event(id=f"{type_}:{key}", type=type_, at=at, **fields)
        subject = event_subject(type_, event.project, event.service)
        with span("event.publish", kind=SpanKind.PRODUCER, within=True, type=type_):
            headers = carry({"Nats-Msg-Id": event.id, **cloud_event_headers(event, SOURCE)}) or {}
            if TRACEPARENT in headers:
                headers["ce-traceparent"] = headers[TRACEPARENT]
            ack = await patiently(lambda: self._js.publish(subject, encode(event), headers=headers), f"publish {type_}")
        if ack.duplicate:
            return
        self._told(event, about)
        facts = {name: value for name, value in fields.items() if isinstance(value, str | int | float)}
        log.info("event.published", type=type_, **facts)

    async def run(self, verb: str, record: AnyRun, *, at: datetime, **fields: Any) -> None:
        """A fact about a run, such as `completed`."""
        is_backup = isinstance(record, BackupRecord)
        elapsed_s = None
        if record.started_at and record.finished_at:
            elapsed_s = round((record.finished_at - record.started_at).total_seconds(), 3)
        await self.publish(
            f"{'backup' if is_backup else 'restore'}.{verb}",
            key=f"{record.project}/{record.service}/{record.id}:{record.attempt}",
            at=at,
            about=record,
            project=record.project,
            service=record.service,
            backup_id=record.id if isinstance(record, BackupRecord) else record.backup_id,
            restore_id=None if is_backup else record.id,
            node=record.node,
            attempt=record.attempt,
            state=record.state,
            actor=record.actor or None,
            size_bytes=record.size_bytes or None,
            plain_bytes=(record.plain_bytes or None) if isinstance(record, BackupRecord) else None,
            elapsed_s=elapsed_s,
            error=record.error,
            warnings=record.warnings or None,
            **fields,
        )
