"""When people are told that a project has nearly used up its quota: at each crossing upwards, and when it is over."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from contracts.events import Event
from contracts.notifications import AlertKind, Ended, NearQuota, Severity, WatchRecord
from contracts.policy.alert_values import Known, Step, alert_of, joined, recovery_of

OF_QUOTA: Final = frozenset({"backup.completed", "backup.deleted", "project.changed"})
"""The events that change how much of a quota is used."""
_WARNING_AT: Final = 0.80
_CRITICAL_AT: Final = 0.95
_MARGIN: Final = 0.05
"""By how much the use has to fall below where it was told of, so that one that goes up and down there stays quiet."""


def after_quota_event(watch: WatchRecord, event: Event, known: Known, used_bytes: int, quota_bytes: int) -> Step:
    """What a project stores held against its quota, as both are when the event is looked at."""
    before = watch.near_quota
    level = before.severity if before is not None else None
    severity = _quota_severity(level, used_bytes / quota_bytes)
    if severity is level:
        return Step(watch, [])
    fields: dict[str, Any] = {"project": event.project, "used_bytes": used_bytes, "quota_bytes": quota_bytes}
    if severity is None:
        assert before is not None
        ends = Ended(kinds=[AlertKind.QUOTA_NEAR], since=before.since)
        over = recovery_of(event, "quota-over", ends, before.told_to, known, **fields)
        return Step(msgspec.structs.replace(watch, near_quota=None), [over])
    told_to = before.told_to if before is not None else []
    alerts = []
    if level is None or severity.rank > level.rank:
        alerts = [alert_of(event, f"quota-{severity}", AlertKind.QUOTA_NEAR, severity, known, **fields)]
        told_to = joined(told_to, alerts[0].channels)
    near = NearQuota(severity=severity, since=before.since if before else event.at, told_to=told_to)
    return Step(msgspec.structs.replace(watch, near_quota=near), alerts)


def _quota_severity(before: Severity | None, share: float) -> Severity | None:
    """None where there is nothing to tell.  It rises at once, and falls only with a margin."""
    critical_at = _CRITICAL_AT - (_MARGIN if before is Severity.CRITICAL else 0)
    warning_at = _WARNING_AT - (_MARGIN if before is not None else 0)
    if share >= critical_at:
        return Severity.CRITICAL
    return Severity.WARNING if share >= warning_at else None
