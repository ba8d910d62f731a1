"""How a service stands, decided from what is known of it: no clock, no bus, no store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from contracts.policy.freeze import FreezeCause
from contracts.policy.schedule import Off
from contracts.records import Alive, ProjectRecord, RunState, RunSummary, ServiceRecord, ServiceState
from contracts.standing import Cause, CauseCode, Level, Standing
from daemon.schedules import next_due

OVERDUE_AFTER: Final = timedelta(minutes=10)
"""A due run that waits for its agent, or for another run to let go, is given this long before it is told of."""


class Known(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a service's standing follows from."""

    owner: ProjectRecord | None
    record: ServiceRecord
    state: ServiceState
    active: str
    """The id of the backup under way."""
    alive: Mapping[str, Alive]
    """All nodes that are alive, by name."""
    first_due: datetime | msgspec.UnsetType | None = msgspec.UNSET
    """As the function of that name says of record and state, for whoever has asked it already."""


def stand(known: Known, now: datetime) -> Standing:
    """The worst first.  A service that was deleted says only that."""
    record, owner = known.record, known.owner
    if record.deletion is not None or owner is None or owner.deletion is not None:
        what = "service" if record.deletion is not None else "project"
        return Standing(level=Level.OFF, causes=[_cause(CauseCode.DELETED, Level.OFF, f"the {what} was deleted")])
    causes = sorted([*_of_runs(known, now), *_of_nodes(known)], key=lambda cause: cause.level.rank)
    if is_scheduled_off(record) and (not causes or causes[0].level is not Level.PROBLEM):
        off = _cause(CauseCode.UNSCHEDULED, Level.OFF, "its schedule is off: only people start backups of it")
        return Standing(level=Level.OFF, causes=[off, *causes])
    return Standing(level=causes[0].level if causes else Level.GOOD, causes=causes)


def first_due(record: ServiceRecord, state: ServiceState) -> datetime | None:
    """When a run of the service was or is due for the first time since the last one ended, or its schedule was set."""
    last = state.last_run or state.last_completed
    since = record.due_after
    if last is not None:
        since = max(since, last.finished_at or last.requested_at)
    return next_due(record.effective_schedule, since)


def is_scheduled_off(record: ServiceRecord) -> bool:
    return isinstance(record.schedule, Off)


def _of_runs(known: Known, now: datetime) -> Iterator[Cause]:
    good, last, freeze = known.state.last_completed, known.state.last_run, known.state.freeze
    bad = last if last is not None and last.state in (RunState.FAILED, RunState.MISSED) else None
    if bad is not None:
        yield _of_bad_run(bad, good)
    if freeze is not None and freeze.cause is FreezeCause.SUSPICIOUS_SIZE:
        yield _cause(CauseCode.SUSPICIOUS, Level.PROBLEM, freeze.reason)
    if bad is None and not known.active and (due := _overdue(known, now)) is not None:
        yield _cause(
            CauseCode.OVERDUE,
            Level.PROBLEM,
            f"it was due at {_minute(due)}, and nothing tells what became of that",
        )
    elif good is None and bad is None:
        words = "its first backup is under way" if known.active else "there is no backup of it yet"
        yield _cause(CauseCode.NO_BACKUP, Level.WARNING, words)


def _of_bad_run(bad: RunSummary, good: RunSummary | None) -> Cause:
    since = f"; the newest good one is of {_minute(good.requested_at)}" if good else "; there is no good one at all"
    when = _minute(bad.requested_at)
    if bad.state is RunState.MISSED:
        return _cause(CauseCode.MISSED, Level.PROBLEM, f"the run of {when} was missed: nobody was there to make it{since}")
    why = bad.error.message if bad.error else "its log says why"
    return _cause(CauseCode.FAILED, Level.PROBLEM, f"the run of {when} failed: {why}{since}")


def _overdue(known: Known, now: datetime) -> datetime | None:
    """What was due since the last run ended and has not led to one."""
    due = known.first_due if known.first_due is not msgspec.UNSET else first_due(known.record, known.state)
    return due if due is not None and now - due > OVERDUE_AFTER else None


def _of_nodes(known: Known) -> Iterator[Cause]:
    """A service that nobody can back up is in trouble before it is due."""
    record = known.record
    alive = [known.alive[node] for node in record.nodes if node in known.alive]
    if not alive:
        nodes = " and ".join(record.nodes)
        yield _cause(CauseCode.NO_AGENT, Level.PROBLEM, f"no agent of it is alive: start strongroom-agent on {nodes}")
        return
    seen = [health for node in alive if (health := node.services.get(f"{record.project}/{record.name}")) is not None]
    if not seen:
        yield _cause(
            CauseCode.NOT_CONFIGURED,
            Level.PROBLEM,
            f"no agent knows how to reach it: `strongroom-agent service add` on {' or '.join(record.nodes)}",
        )
    elif not any(health.reachable for health in seen):
        errors = [health.error.message for health in seen if health.error is not None]
        yield _cause(CauseCode.ENGINE, Level.PROBLEM, errors[0] if errors else "no node reaches its engine")


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _cause(code: CauseCode, level: Level, message: str) -> Cause:
    return Cause(code=code, level=level, message=message)
