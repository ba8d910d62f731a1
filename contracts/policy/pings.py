"""What a dead man's switch is told, decided from events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from contracts.events import Event
from contracts.notifications import PendingPing, PingRecord, PingSignal
from contracts.policy.alerts import due_until
from contracts.records import RunSummary

SIGNALS: Final = {
    "backup.completed": PingSignal.SUCCESS,
    "backup.failed": PingSignal.FAILURE,
    "backup.missed": PingSignal.FAILURE,
    "backup.started": PingSignal.START,
}


def next_ping(record: PingRecord, events: Iterable[Event], last_good: RunSummary | None) -> PendingPing | None:
    """What is still to be told after these events of its service, in their order; the newest alone counts.

    What arrived already is not told again, when an event is met again.
    """
    pending = record.pending
    for event in events:
        signal = SIGNALS.get(event.type)
        if signal is None or not _is_told(record, signal):
            continue
        run_id = event.backup_id or ""
        last = record.last
        if last is not None and last.ok and (last.signal, last.run_id) == (signal, run_id):
            continue
        is_late = event.type == "backup.missed" and last_good is not None and due_until(event) < last_good.requested_at
        if not is_late:
            pending = PendingPing(signal=signal, run_id=run_id, since=event.at)
    return pending


def _is_told(record: PingRecord, signal: PingSignal) -> bool:
    if signal is PingSignal.FAILURE:
        return record.tell_failure
    return record.tell_start if signal is PingSignal.START else True
