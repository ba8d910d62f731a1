"""What follows from a due time: a run, or a reason why there is none; in either case an entry in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Final, NamedTuple

import msgspec
import structlog

from contracts.errors import ErrorInfo
from contracts.ids import due_run_id
from contracts.records import DueRecord, DueState, ProjectRecord, RunState, RunSummary, ServiceRecord, ServiceState
from contracts.tracing import span
from daemon.catalog.buckets import key
from daemon.ledger import KEPT
from daemon.retention import Retention
from daemon.runs.nodes_alive import alive_nodes
from daemon.runs.placement import Placement, place_at_last, place_due
from daemon.runs.requesting import Requests, Taken
from daemon.runs.runs import Runs
from daemon.schedules import due_between

log = structlog.get_logger()

_LATE: Final = timedelta(minutes=1)
"""A run that begins so long after its due time is caught up, and says so."""


_AT_ONCE: Final = 64
"""Entries written side by side; each waits for the bus."""


class Outcome(Enum):
    DECIDED = auto()
    """Nothing that was due is open any more."""
    WAIT = auto()
    """The newest due time cannot be followed yet: try again soon."""


class Followed(NamedTuple):
    """How far a schedule was followed."""

    outcome: Outcome
    until: datetime
    """Everything that was due up to here is decided."""


class DueRuns:
    """Follows schedules.  Everything here may be repeated and may be done by two coordinators at once."""

    def __init__(self, runs: Runs, requests: Requests, retention: Retention, *, start_deadline_s: float) -> None:
        self._runs = runs
        self._retention = retention
        self._catalog = runs.catalog
        self._ledger = runs.ledger
        self._requests = requests
        self._start_deadline_s = start_deadline_s
        self._tried_since: dict[str, tuple[datetime, float]] = {}
        """Since when each service waits for a node, by the event loop's clock, and under the schedule set at that moment:
        over several due times, where they follow each other closer than the start deadline."""
        self._noted_until: dict[str, datetime] = {}

    def begin_term(self) -> None:
        """A new leader gives everybody a full term."""
        self._tried_since.clear()
        self._noted_until.clear()

    async def follow(self, service: ServiceRecord, after: datetime, now: datetime) -> Followed:
        """Sees to all that was due later than `after`, up to `now`: the newest leads to a run, those before were missed."""
        dues = list(due_between(service.effective_schedule, max(after, now - KEPT), now))
        if not dues:
            return Followed(Outcome.DECIDED, now)
        *passed, newest = dues
        current = await self._current(service)
        if current is None:
            return Followed(Outcome.DECIDED, now)
        owner, service = current
        # The newest first: what is still to be made matters more than what is only to be written down.
        outcome = await self._act(owner, service, newest, now)
        await self._note_passed(service, passed, now)
        if outcome is Outcome.WAIT:
            if await self._current(service) is None:
                # Changed while its entry was written: whoever changed it did not see the entry.
                reason = "the schedule was changed before any node could make it"
                await self._ledger.write_off(service.project, service.name, reason)
            return Followed(outcome, passed[-1] if passed else after)
        await self._remember(service, newest)
        return Followed(outcome, now)

    async def _current(self, service: ServiceRecord) -> tuple[ProjectRecord, ServiceRecord] | None:
        """The service as it is now; None when it is not scheduled any more, or differently."""
        owner = await self._catalog.projects.get(service.project)
        stored = await self._catalog.services.get(key(service.project, service.name))
        if owner is None or stored is None or owner.value.deletion is not None or stored.value.deletion is not None:
            return None
        if (stored.value.schedule, stored.value.due_after) != (service.schedule, service.due_after):
            return None
        return owner.value, stored.value

    async def _act(self, owner: ProjectRecord, service: ServiceRecord, due_at: datetime, now: datetime) -> Outcome:
        ref = key(service.project, service.name)
        entry = await self._ledger.note(service.project, service.name, due_at, now=now)
        was_written_off_early = entry.state is DueState.MISSED and not entry.has_run and entry.noted_at > now
        if entry.state is not DueState.DUE and not (was_written_off_early and await self._ledger.reopen(entry, now)):
            self._tried_since.pop(ref, None)
            return Outcome.DECIDED
        late = f"caught up {_spell(now - due_at)} after it was due" if now - due_at >= _LATE else ""
        if await self._catalog.backups.get(key(service.project, service.name, entry.run_id)) is None:
            overdue = self._waited_s(ref, service) >= self._start_deadline_s
            outcome = await self._request(owner, service, entry, overdue=overdue)
            if outcome is Outcome.WAIT:
                return outcome
        # What ended at once has its state already; this brings forward only what is still open.
        await self._ledger.requested(entry, late)
        self._tried_since.pop(ref, None)
        return Outcome.DECIDED

    def _waited_s(self, ref: str, service: ServiceRecord) -> float:
        clock = asyncio.get_running_loop().time()
        scheduled, since = self._tried_since.get(ref, (service.due_after, clock))
        if scheduled != service.due_after:
            since = clock  # what waited then was written off
        self._tried_since[ref] = (service.due_after, since)
        return clock - since

    async def _request(self, owner: ProjectRecord, service: ServiceRecord, entry: DueRecord, *, overdue: bool) -> Outcome:
        looked_at = self._runs.now()
        alive = await alive_nodes(self._runs, service.nodes)
        placement = place_due(service, alive, entry.run_id)
        if placement is None and overdue:
            placement = place_at_last(service, alive)
        if (placement is None or self._retention.is_making_room(service.project)) and not overdue:
            return Outcome.WAIT
        try:
            with span("backup.due", since=entry.due_at, project=service.project, service=service.name, run_id=entry.run_id):
                await self._follow_placement(owner, service, entry, placement, looked_at)
        except Taken as taken:
            return await self._skip_or_wait(service, entry, taken, overdue=overdue)
        return Outcome.DECIDED

    async def _follow_placement(
        self,
        owner: ProjectRecord,
        service: ServiceRecord,
        entry: DueRecord,
        placement: Placement | None,
        looked_at: datetime,
    ) -> None:
        """Raises: Taken, Unavailable."""
        with span("backup.place", since=looked_at) as placing:
            if placement is not None:
                placing.set(node=placement.node, reason=placement.reason)
        if placement is not None:
            await self._requests.due(owner, service, entry, placement)
            return
        why = (
            f"no agent of {service.project}/{service.name} was alive within {self._start_deadline_s:.0f} s: start "
            f"strongroom-agent on {' or '.join(service.nodes)}"
        )
        await self._requests.missed(owner, service, entry, why)

    async def _skip_or_wait(self, service: ServiceRecord, entry: DueRecord, taken: Taken, *, overdue: bool) -> Outcome:
        """An automatic run in the way stands for this one; a manual one, or one that is just letting go, is waited for."""
        holder = await self._catalog.backups.get(key(service.project, service.name, taken.holder.run_id))
        stands_for_it = holder is not None and holder.value.state.is_active and holder.value.due_at is not None
        if not stands_for_it and not overdue:
            return Outcome.WAIT
        reason = f"backup {taken.holder.run_id} was still under way"
        if await self._ledger.decide(entry, DueState.SKIPPED, reason):
            await self._runs.events.publish(
                "backup.skipped",
                key=f"{entry.project}/{entry.service}/{entry.run_id}",
                at=self._runs.now(),
                project=entry.project,
                service=entry.service,
                reason=reason,
                facts={"due_at": _stamp(entry.due_at)},
            )
        return Outcome.DECIDED

    async def _note_passed(self, service: ServiceRecord, passed: Sequence[datetime], now: datetime) -> None:
        """Writes down what nobody acted on before the next was due."""
        ref = key(service.project, service.name)
        noted_until = self._noted_until.get(ref)
        new = [due_at for due_at in passed if noted_until is None or due_at > noted_until]
        missed: list[datetime] = []
        for start in range(0, len(new), _AT_ONCE):
            batch = new[start : start + _AT_ONCE]
            noted = await asyncio.gather(*(self._note_missed(service, due_at, now) for due_at in batch))
            missed += [due_at for due_at, is_missed in zip(batch, noted, strict=True) if is_missed]
        if missed:
            # Stated again by who comes after a crash: an event too many is better than none.
            await self._runs.events.publish(
                "backup.missed",
                key=f"{service.project}/{service.name}/{due_run_id(service.project, service.name, missed[-1])}",
                at=now,
                project=service.project,
                service=service.name,
                reason=_NOBODY,
                facts={"count": len(missed), "first": _stamp(missed[0]), "last": _stamp(missed[-1])},
            )
        if new:
            self._noted_until[ref] = new[-1]
            await self._remember(service, new[-1], missed=missed[-1] if missed else None)

    async def _note_missed(self, service: ServiceRecord, due_at: datetime, now: datetime) -> bool:
        """Whether the due time is missed, by what stands in the ledger now."""
        entry = await self._ledger.note(
            service.project, service.name, due_at, now=now, state=DueState.MISSED, reason=_NOBODY
        )
        if entry.state is not DueState.DUE:
            return entry.state is DueState.MISSED and not entry.has_run
        if await self._catalog.backups.get(key(service.project, service.name, entry.run_id)) is not None:
            return False  # its run exists, and settles the entry when it ends
        return await self._ledger.decide(entry, DueState.MISSED, _NOBODY)

    async def _remember(self, service: ServiceRecord, decided_until: datetime, *, missed: datetime | None = None) -> None:
        """`missed` is the newest due time that led to no run."""

        def followed(state: ServiceState) -> ServiceState:
            last = state.last_run
            if missed is not None and (last is None or last.requested_at < missed):
                last = RunSummary(
                    id=due_run_id(service.project, service.name, missed),
                    state=RunState.MISSED,
                    requested_at=missed,
                    error=ErrorInfo(code="run.missed", message=_NOBODY),
                )
            if (state.decided_until, state.last_run) == (decided_until, last):
                return state
            return msgspec.structs.replace(state, decided_until=decided_until, last_run=last)

        await self._catalog.states.change(key(service.project, service.name), followed, absent=ServiceState())


_NOBODY: Final = "nobody acted on it before the next was due: no coordinator was running, or no agent was alive"


def _spell(late: timedelta) -> str:
    hours, rest = divmod(int(late.total_seconds()), 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min"


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
