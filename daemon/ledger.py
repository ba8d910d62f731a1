"""The ledger: every due time of every service as a record of its own, and what became of it.

An entry is created before anybody acts on its due time.  Its key is the service and the due time, so however many
coordinators, restarts and steps of the clock there are, there is one entry, and it leads to one run.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from contracts.ids import due_run_id
from contracts.records import BackupRecord, DueRecord, DueState, RunState
from daemon.catalog.buckets import RecordChanged, key
from daemon.catalog.catalog import Catalog

KEPT: Final = timedelta(days=90)
"""How long an entry stays: the success rate looks back a month, and a coordinator that was away for longer than this does
not record all that it missed."""
_KEPT_S: Final = int(KEPT.total_seconds())
_STATE_OF_RUN: Final = {
    RunState.FAILED: DueState.FAILED,
    RunState.DELETING: DueState.FAILED,
    RunState.CANCELLED: DueState.CANCELLED,
    RunState.MISSED: DueState.MISSED,
}


class Ledger:
    """Entries, written once and then only brought forward."""

    def __init__(self, catalog: Catalog) -> None:
        self._bucket = catalog.ledger
        self._backups = catalog.backups

    async def note(
        self,
        project: str,
        service: str,
        due_at: datetime,
        *,
        now: datetime,
        state: DueState = DueState.DUE,
        reason: str = "",
    ) -> DueRecord:
        """The entry of this due time: written now, or as somebody else wrote it before."""
        entry = DueRecord(
            project=project,
            service=service,
            due_at=due_at,
            run_id=due_run_id(project, service, due_at),
            state=state,
            noted_at=now,
            reason=reason,
        )
        while True:
            try:
                await self._bucket.create(_key(entry), entry, ttl_s=_KEPT_S)
            except RecordChanged:
                known = await self._bucket.get(_key(entry))
                if known is None:
                    continue
                return known.value
            return entry

    async def requested(self, entry: DueRecord, reason: str = "") -> None:
        """Its run is in a node's queue; an entry that is further than that stays as it is."""
        await self._advance(_key(entry), DueState.REQUESTED, reason, {DueState.DUE})

    async def decide(self, entry: DueRecord, state: DueState, reason: str) -> bool:
        """It leads to no run; False when it was decided otherwise before."""
        return await self._advance(_key(entry), state, reason, {DueState.DUE}, has_run=False)

    async def reopen(self, entry: DueRecord, now: datetime) -> bool:
        """The due time is open again: it was written off under a clock that was ahead.  False when somebody was quicker."""

        def back(stored: DueRecord) -> DueRecord:
            if stored.state is not DueState.MISSED or stored.has_run:
                return stored
            return msgspec.structs.replace(stored, state=DueState.DUE, noted_at=now, reason="")

        after = await self._bucket.change(_key(entry), back, ttl_s=_KEPT_S)
        return after is not None and after.state is DueState.DUE

    async def settle(self, record: BackupRecord) -> None:
        """Its run has ended.  Safe to repeat."""
        state = DueState.COMPLETED if record.was_completed else _STATE_OF_RUN.get(record.state)
        if record.due_at is None or state is None:
            return
        name = key(record.project, record.service, _stamp(record.due_at))
        reason = record.error.message if record.error else ""
        await self._advance(name, state, reason, {DueState.DUE, DueState.REQUESTED})

    async def write_off(self, project: str, service: str, reason: str) -> None:
        """What is written down and led to no run yet is missed: the service is not followed as before."""
        for stored in await self._bucket.select(key(project, service)):
            entry = stored.value
            if entry.state is DueState.DUE and await self._backups.get(key(project, service, entry.run_id)) is None:
                await self.decide(entry, DueState.MISSED, reason)

    async def of_service(self, project: str, service: str) -> list[DueRecord]:
        """Newest first."""
        found = await self._bucket.select(key(project, service))
        return [stored.value for stored in reversed(found)]

    async def forget(self, project: str, service: str) -> None:
        """Nothing is left of the service."""
        for stored in await self._bucket.select(key(project, service)):
            await self._bucket.delete(stored.key, stored.revision)

    async def _advance(
        self, name: str, state: DueState, reason: str, come_from: Iterable[DueState], *, has_run: bool = True
    ) -> bool:
        def forward(entry: DueRecord) -> DueRecord:
            if entry.state not in come_from:
                return entry
            return msgspec.structs.replace(entry, state=state, reason=reason, has_run=has_run)

        after = await self._bucket.change(name, forward, ttl_s=_KEPT_S)
        return after is not None and after.state is state


def _key(entry: DueRecord) -> str:
    return key(entry.project, entry.service, _stamp(entry.due_at))


def _stamp(due_at: datetime) -> str:
    """Sorts by time, in a token of a key."""
    return due_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
