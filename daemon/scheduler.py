"""The scheduler: sees to it that every due time gets its entry in the ledger, and what follows from it.

One coordinator leads.  It keeps all services in memory, ordered by when each is due next, so a look at the clock costs the
same for ten services and for ten thousand; only what is due costs anything.  How far each service's schedule was followed
is in its state record, so a new leader goes on where the old one stopped.  Nothing relies on there being one leader:
whatever two of them do for the same due time meets in the same ledger entry and the same run id.

The clock is asked once a second, never slept towards, so a suspended host and a clock that steps are met like everything
else: due times that were passed over lead to one run, the newest; those that come again are in the ledger already.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.errors import InvalidInput, StrongroomError
from contracts.records import ServiceRecord, ServiceState
from contracts.tasks import cancellable
from daemon.catalog.buckets import Stored, key
from daemon.catalog.catalog import Catalog
from daemon.due_runs import DueRuns, Followed, Outcome
from daemon.schedules import next_due

log = structlog.get_logger()

_SUBJECTS: Final = ("strongroom.event.service.*.*.*", "strongroom.event.project.*.*.*")
"""What may change when a service is due; each is followed by a look at the record itself."""

_CHANGES_A_TICK: Final = 256
_LOOK_BACK: Final = timedelta(days=1)
_ALL: Final = "-"
"""In an event's subject, where it is about no single service."""


class SchedulerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the scheduler looks at the clock and at the services."""

    tick_s: float = 1.0
    """How often the clock is asked."""
    retry_s: float = 5.0
    """How often a run is tried again that no node can take yet."""
    reload_s: float = 120.0
    """How often all services are read anew, in case that news of a change was lost."""
    workers: int = 64
    """Due runs that are being requested at once; each mostly waits for the bus."""


class _Watched:
    """A service as the scheduler knows it."""

    __slots__ = ("decided_until", "due", "in_hand", "service", "since", "wait_until")

    def __init__(self, service: ServiceRecord, state: ServiceState, now: datetime) -> None:
        self.service = service
        self.since = min(service.due_after, now)
        """Not later than the clock has ever said: a service that was added under one that was ahead is due all the same."""
        self.decided_until = state.decided_until
        self.due: datetime | None = None
        self.in_hand = False
        self.wait_until = 0.0
        """By the event loop's clock; a run that could not be placed is tried again then."""

    def followed_until(self, now: datetime) -> datetime:
        """What is due later than this is to be looked at.

        Where more than the present is followed already, the clock was ahead once: it must not silence the schedule until it
        is reached again.  Then a day is looked back on, in which nothing happens twice, since it stands in the ledger.
        """
        until = max(self.since, self.decided_until) if self.decided_until is not None else self.since
        return until if until <= now else max(min(self.since, now), now - _LOOK_BACK)


class Scheduler:
    """Runs under a lease."""

    def __init__(
        self,
        client: Client,
        catalog: Catalog,
        due_runs: DueRuns,
        settings: SchedulerSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._client = client
        self._catalog = catalog
        self._due_runs = due_runs
        self._settings = settings
        self._now = now
        self._watched: dict[str, _Watched] = {}
        self._heap: list[tuple[datetime, str]] = []
        self._waiting: set[str] = set()
        self._changed: set[str] = set()
        self._work: asyncio.Queue[str] = asyncio.Queue()  # holds each service once at most
        self._seen = datetime.min.replace(tzinfo=UTC)
        """What the clock said last."""

    @property
    def watched(self) -> int:
        """Services that it looks after; 0 where it does not lead."""
        return len(self._watched)

    def lag_s(self) -> float:
        """How long the oldest due time waits that led to nothing yet; 0 where nothing is late.  From any thread."""
        late = [*self._heap[:1], *((self._watched[ref].due, ref) for ref in tuple(self._waiting) if ref in self._watched)]
        oldest = min((due for due, _ in late if due is not None), default=None)
        return max(0.0, (self._now() - oldest).total_seconds()) if oldest is not None else 0.0

    async def run(self) -> None:
        """Until cancelled."""
        self._watched.clear()
        self._heap.clear()
        self._waiting.clear()
        self._changed.clear()
        self._work = asyncio.Queue()
        self._due_runs.begin_term()
        subscriptions = [await self._client.subscribe(subject, cb=self._note_change) for subject in _SUBJECTS]
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._settings.workers):
                    group.create_task(cancellable(self._work_off()), name=f"scheduler:{number}")
                await self._tick_forever()
        finally:
            self._watched.clear()
            self._heap.clear()
            self._waiting.clear()
            for subscription in subscriptions:
                await subscription.unsubscribe()

    async def _tick_forever(self) -> None:
        loop = asyncio.get_running_loop()
        reload_at = loop.time()
        while True:
            if loop.time() >= reload_at:
                reload_at = loop.time() + self._settings.reload_s
                if not await self._guarded(self._reload()):
                    reload_at = loop.time() + self._settings.retry_s
            await self._guarded(self._take_changes())
            # Whatever could not be read now: what is known is followed.
            self._tick(loop.time())
            await asyncio.sleep(self._settings.tick_s)

    async def _guarded(self, work: Coroutine[None, None, None]) -> bool:
        """Whether it went well."""
        try:
            await work
            return True
        except StrongroomError as exc:
            log.warning("scheduler.postponed", code=exc.code, reason=exc.message)
        except Exception:
            log.exception("scheduler.failed")
        return False

    def _tick(self, clock: float) -> None:
        """Puts whatever is due into the hands of the workers."""
        now = self._now()
        if now < self._seen:
            self._start_over(now)
        self._seen = now
        while self._heap and self._heap[0][0] <= now:
            due, ref = heapq.heappop(self._heap)
            watched = self._watched.get(ref)
            if watched is not None and watched.due == due and not watched.in_hand and ref not in self._waiting:
                self._take(ref, watched)
        for ref in [ref for ref in self._waiting if self._watched[ref].wait_until <= clock]:
            self._waiting.discard(ref)
            self._take(ref, self._watched[ref])

    def _start_over(self, now: datetime) -> None:
        """The clock was set back: what is next is nearer than was thought, or stands in the ledger already."""
        log.info("clock.set_back", seconds=round((self._seen - now).total_seconds(), 3))
        self._heap.clear()
        for ref, watched in self._watched.items():
            watched.since = min(watched.since, now)
            if not watched.in_hand and ref not in self._waiting:
                self._await_next(ref, watched, now)

    def _take(self, ref: str, watched: _Watched) -> None:
        watched.in_hand = True
        self._work.put_nowait(ref)

    async def _work_off(self) -> None:
        while True:
            ref = await self._work.get()
            watched = self._watched.get(ref)
            if watched is None:
                continue
            now = self._now()
            followed = Followed(Outcome.WAIT, watched.followed_until(now))
            try:
                followed = await self._due_runs.follow(watched.service, followed.until, now)
            except StrongroomError as exc:
                log.warning("due.postponed", service=ref, code=exc.code, reason=exc.message)
            except Exception:
                log.exception("due.failed", service=ref)
            finally:
                watched.in_hand = False
            if self._watched.get(ref) is not watched:
                continue  # it was changed or deleted meanwhile
            watched.decided_until = followed.until
            if followed.outcome is Outcome.WAIT:
                watched.wait_until = asyncio.get_running_loop().time() + self._settings.retry_s
                self._waiting.add(ref)
                continue
            # Asked anew: the clock may have been set back while this was done.
            self._await_next(ref, watched, self._now())

    def _await_next(self, ref: str, watched: _Watched, now: datetime) -> None:
        watched.due = next_due(watched.service.effective_schedule, watched.followed_until(now))
        if watched.due is not None:
            heapq.heappush(self._heap, (watched.due, ref))

    async def _reload(self) -> None:
        """Everything anew: what is the same as before goes on undisturbed."""
        projects = {stored.key: stored.value for stored in await self._catalog.projects.select(skip_unreadable=True)}
        states = {stored.key: stored.value for stored in await self._catalog.states.select(skip_unreadable=True)}
        services = await self._catalog.services.select(skip_unreadable=True)
        seen = set()
        for stored in services:
            owner = projects.get(stored.value.project)
            if owner is not None and owner.deletion is None:
                self._watch(stored, states.get(stored.key, ServiceState()))
                seen.add(stored.key)
        for ref in self._watched.keys() - seen:
            self._forget(ref)
        # Entries of services that changed or went are skipped one by one otherwise.
        self._heap = [(due, ref) for due, ref in self._heap if ref in self._watched and self._watched[ref].due == due]
        heapq.heapify(self._heap)

    async def _take_changes(self) -> None:
        for _ in range(min(len(self._changed), _CHANGES_A_TICK)):
            ref = self._changed.pop()
            try:
                await self._look_again(ref)
            except InvalidInput as exc:
                # It stands in nobody's way, and is looked at again with everything else.
                log.error("service.unreadable", service=ref, field=exc.field, reason=exc.message)
            except StrongroomError:
                self._changed.add(ref)
                raise

    async def _look_again(self, ref: str) -> None:
        project, _, service = ref.partition(".")
        if service == _ALL:
            self._changed.update(stored.key for stored in await self._catalog.services.select(project, skip_unreadable=True))
            return
        found = await self._catalog.services.get(ref)
        owner = await self._catalog.projects.get(project)
        if found is None or owner is None or owner.value.deletion is not None:
            self._forget(ref)
            return
        state = await self._catalog.states.get(ref)
        self._watch(found, state.value if state is not None else ServiceState())

    def _watch(self, stored: Stored[ServiceRecord], state: ServiceState) -> None:
        ref, service = stored.key, stored.value
        if service.deletion is not None:
            self._forget(ref)
            return
        known = self._watched.get(ref)
        if known is not None and known.service == service:
            return
        self._waiting.discard(ref)
        watched = self._watched[ref] = _Watched(service, state, self._now())
        self._await_next(ref, watched, self._now())

    def _forget(self, ref: str) -> None:
        self._watched.pop(ref, None)
        self._waiting.discard(ref)

    async def _note_change(self, message: Msg) -> None:
        project, service = message.subject.split(".")[-2:]
        if project != _ALL:
            self._changed.add(key(project, service))
