"""Of what alerts are made: whom they are for, what they are called, and what a decision about them follows from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from contracts.events import Event
from contracts.notifications import Alert, AlertKind, ChannelRecord, Ended, Severity, WatchRecord
from contracts.records import RunSummary


class Known(NamedTuple):
    """What a decision follows from beside the record and the event."""

    now: datetime
    channels: Sequence[ChannelRecord]
    """All that there are."""
    last_good: RunSummary | None = None
    """The service's newest completed backup."""


class Step(NamedTuple):
    """What follows: the record afterwards, the very same one if nothing changed, and what is told to whom.

    An alert for no channel is told to nobody, and need not be kept.
    """

    watch: WatchRecord
    alerts: list[Alert]


def alert_of(event: Event, what: str, kind: AlertKind, severity: Severity, known: Known, **fields: Any) -> Alert:
    # Without the tool's own words, which may hold anything: a message goes to where others may read it.
    code, reason = (event.error.code, event.error.message) if event.error else ("", event.reason or "")
    alert = Alert(
        key=_key(event, what),
        kind=kind,
        severity=severity,
        at=event.at,
        noted_at=known.now,
        code=code,
        reason=reason,
        **fields,
    )
    return addressed(known, alert)


def recovery_of(event: Event, what: str, ends: Ended, told_to: Sequence[str], known: Known, **fields: Any) -> Alert:
    """For whoever was told of the trouble, and wants to be told of such."""
    wanted = [
        each.id for each in known.channels if each.id in told_to and each.enabled and AlertKind.RECOVERED in each.kinds
    ]
    return Alert(
        key=_key(event, what),
        kind=AlertKind.RECOVERED,
        severity=Severity.INFO,
        at=event.at,
        noted_at=known.now,
        channels=wanted,
        since=ends.since,
        ends=ends,
        **fields,
    )


def addressed(known: Known, alert: Alert) -> Alert:
    return msgspec.structs.replace(alert, channels=[each.id for each in known.channels if is_for(each, alert)])


def is_for(channel: ChannelRecord, alert: Alert) -> bool:
    """Whether the channel wants to be told of it, if it is no recovery."""
    return (
        channel.enabled
        and channel.project in ("", alert.project)
        and alert.kind in channel.kinds
        and alert.severity.rank >= channel.min_severity.rank
    )


def joined(some: Sequence[str], more: Sequence[str]) -> list[str]:
    return [*some, *(each for each in more if each not in some)]


def _key(event: Event, what: str) -> str:
    """A name for what follows from the fact, the same whenever it is met."""
    return f"{hashlib.sha256(event.id.encode()).hexdigest()[:32]}-{what}"
