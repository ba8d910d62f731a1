"""What people are told of, decided from events: no clock, no bus, no store.

A service, a project and a node each have a record of what was told of them and is not over (`WatchRecord`).  An event leads
to the record as it is afterwards and to the alerts that follow.  An alert's key follows from the event's own id: whoever
meets an event again, in a replay or because it was stated twice, makes the same alert again, and nobody is told twice.

    good ──failed, missed──▶ trouble ──completed──▶ good        told: the first of each kind, one reminder a day, the end
    good ──frozen: suspicious──▶ suspicion ──resumed──▶ good    told: each suspicious backup once, the end
    below 80 % ──▶ warning ──95 %──▶ critical                   told: each crossing once, the end below 75 %
    alive ──silent──▶ silence ──alive──▶ alive                  told: once for each project it serves, the end
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from contracts.events import Event
from contracts.ids import run_id_time
from contracts.notifications import (
    Alert,
    AlertKind,
    Ended,
    Severity,
    Suspicion,
    Trouble,
    WatchRecord,
)
from contracts.policy.alert_values import Known, Step, addressed, alert_of, joined, recovery_of
from contracts.policy.freeze import FreezeCause

REMIND_AFTER: Final = timedelta(days=1)
BAD_RUNS: Final = {"backup.failed": AlertKind.FAILED, "backup.missed": AlertKind.MISSED}
_BAD_RESTORES: Final = frozenset({"restore.failed", "restore.missed"})
_GONE: Final = frozenset({"service.deleted", "service.purged"})
OF_SERVICE: Final = frozenset(
    {*BAD_RUNS, *_BAD_RESTORES, *_GONE, "backup.completed", "retention.frozen", "retention.resumed"}
)

Decide = Callable[[WatchRecord, Event], Step]


def follow(watch: WatchRecord, events: Iterable[tuple[int, Event]], decide: Decide) -> Step:
    """What follows from events with their sequences, in their order; what the record has seen already has no effect."""
    alerts: list[Alert] = []
    for sequence, event in events:
        if sequence <= watch.seen:
            continue
        after, told = decide(watch, event)
        if after is not watch:
            watch = msgspec.structs.replace(after, seen=sequence)
        alerts += told
    return Step(watch, alerts)


def after_service_event(watch: WatchRecord, event: Event, known: Known) -> Step:
    """What an event means for its service."""
    if event.type in BAD_RUNS:
        return _bad_run(watch, event, known)
    if event.type in _BAD_RESTORES:
        return Step(watch, [_bad_restore(event, known)])
    if event.type == "backup.completed":
        return _good_run(watch, event, known)
    if event.type == "retention.frozen":
        return _frozen(watch, event, known)
    if event.type == "retention.resumed":
        return _resumed(watch, event, known)
    if event.type in _GONE and not watch.is_quiet:
        # Nobody wants backups of it any more, so nobody has to be told that they fail, or that they do not.
        return Step(WatchRecord(), [])
    return Step(watch, [])


def remind(watch: WatchRecord, project: str, service: str, known: Known) -> Step:
    """Once a day, that a service's trouble goes on."""
    trouble = watch.trouble
    if trouble is None or known.now - trouble.last_told_at < REMIND_AFTER:
        return Step(watch, [])
    number = trouble.reminders + 1
    alert = addressed(
        known,
        Alert(
            key=f"{trouble.key}-reminder-{number}",
            kind=trouble.kind,
            severity=Severity.CRITICAL,
            at=known.now,
            noted_at=known.now,
            project=project,
            service=service,
            run_id=trouble.run_id,
            code=trouble.code,
            reason=trouble.reason,
            since=trouble.since,
            last_good_at=trouble.last_good_at,
            last_good_bytes=trouble.last_good_bytes,
            runs=trouble.runs,
            reminder=number,
        ),
    )
    after = msgspec.structs.replace(
        trouble, reminders=number, last_told_at=known.now, told_to=joined(trouble.told_to, alert.channels)
    )
    return Step(msgspec.structs.replace(watch, trouble=after), [alert])


def _bad_run(watch: WatchRecord, event: Event, known: Known) -> Step:
    kind, trouble, good = BAD_RUNS[event.type], watch.trouble, known.last_good
    alert = alert_of(
        event,
        "run",
        kind,
        Severity.CRITICAL,
        known,
        project=event.project,
        service=event.service,
        run_id=event.backup_id or "",
        last_good_at=good.requested_at if good else None,
        last_good_bytes=good.size_bytes if good else None,
        runs=_count(event),
    )
    if kind is AlertKind.MISSED and good is not None and due_until(event) < good.requested_at:
        # Found out late, as after an outage of all coordinators: what was missed then has been made up for.
        late = msgspec.structs.replace(alert, severity=Severity.WARNING, is_made_up_for=True)
        return Step(watch, [addressed(known, late)])
    if trouble is None:
        return Step(msgspec.structs.replace(watch, trouble=_trouble(alert, event)), [alert])
    if alert.run_id and alert.run_id == trouble.run_id:
        return Step(watch, [])  # the same run, told of again by whoever settled it again
    after = msgspec.structs.replace(
        trouble,
        kind=kind,
        run_id=alert.run_id,
        code=alert.code,
        reason=alert.reason,
        runs=trouble.runs + alert.runs,
    )
    if kind in trouble.told:
        return Step(msgspec.structs.replace(watch, trouble=after), [])
    after = msgspec.structs.replace(
        after,
        told=[*trouble.told, kind],
        told_to=joined(trouble.told_to, alert.channels),
        last_told_at=known.now,
    )
    also = msgspec.structs.replace(alert, since=trouble.since, runs=after.runs)
    return Step(msgspec.structs.replace(watch, trouble=after), [also])


def _trouble(alert: Alert, event: Event) -> Trouble:
    return Trouble(
        since=event.at,
        key=alert.key,
        told=[alert.kind],
        told_to=alert.channels,
        last_told_at=alert.noted_at,
        kind=alert.kind,
        run_id=alert.run_id,
        code=alert.code,
        reason=alert.reason,
        runs=alert.runs,
        last_good_at=alert.last_good_at,
        last_good_bytes=alert.last_good_bytes,
    )


def _good_run(watch: WatchRecord, event: Event, known: Known) -> Step:
    trouble = watch.trouble
    if trouble is None:
        return Step(watch, [])
    ends = Ended(kinds=trouble.told, since=trouble.since, runs=trouble.runs)
    alert = recovery_of(
        event,
        "run",
        ends,
        trouble.told_to,
        known,
        project=event.project,
        service=event.service,
        run_id=event.backup_id or "",
        last_good_bytes=event.size_bytes,
    )
    return Step(msgspec.structs.replace(watch, trouble=None), [alert])


def _bad_restore(event: Event, known: Known) -> Alert:
    return alert_of(
        event,
        "restore",
        AlertKind.RESTORE_FAILED,
        Severity.CRITICAL,
        known,
        project=event.project,
        service=event.service,
        node=event.node or "",
        run_id=event.restore_id or "",
    )


def _frozen(watch: WatchRecord, event: Event, known: Known) -> Step:
    run_id, before = event.backup_id or "", watch.suspicion
    if (event.facts or {}).get("cause") != FreezeCause.SUSPICIOUS_SIZE:
        return Step(watch, [])
    if before is not None and before.run_id == run_id:
        return Step(watch, [])
    alert = alert_of(
        event,
        "suspicious",
        AlertKind.SUSPICIOUS,
        Severity.WARNING,
        known,
        project=event.project,
        service=event.service,
        run_id=run_id,
    )
    after = Suspicion(
        run_id=run_id,
        since=before.since if before else event.at,
        told_to=joined(before.told_to if before else [], alert.channels),
    )
    return Step(msgspec.structs.replace(watch, suspicion=after), [alert])


def _resumed(watch: WatchRecord, event: Event, known: Known) -> Step:
    suspicion = watch.suspicion
    if suspicion is None:
        return Step(watch, [])
    ends = Ended(kinds=[AlertKind.SUSPICIOUS], since=suspicion.since)
    of = {"project": event.project, "service": event.service}
    alert = recovery_of(event, "suspicious", ends, suspicion.told_to, known, **of)
    return Step(msgspec.structs.replace(watch, suspicion=None), [alert])


def _count(event: Event) -> int:
    """For how many runs the event stands."""
    count = (event.facts or {}).get("count")
    return count if isinstance(count, int) and count > 0 else 1


def due_until(event: Event) -> datetime:
    """When the newest run that it stands for was due or asked for."""
    last = (event.facts or {}).get("last")
    if isinstance(last, str):
        return datetime.fromisoformat(last)
    return run_id_time(event.backup_id) if event.backup_id else event.at
