"""Locks of backups in the object store: set once a backup is whole, lengthened when it counts as more, never shortened.

A backup is locked after its record says that it is completed and before its run's place is free.  So what never became a
backup is never locked by us, and can be cleared away; and whoever is cut off in between, the reaper settles the run again.
What could not be locked is a backup all the same: its record says why it is not, an event says so, and it is tried again
with every later backup of the service.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import structlog

from contracts.errors import Conflict, Corrupt, InvalidInput, RunFailed
from contracts.object_keys import backup_prefix
from contracts.policy.locking import LockMode, ObjectLock, bounded, check_clocks, counts_from, locked_words, wanted_until
from contracts.policy.retention_policy import RetentionPolicy
from contracts.records import BackupRecord, RunState, ServiceRecord, Trigger
from daemon.catalog.buckets import RecordChanged, Stored, key
from daemon.catalog.catalog import Catalog
from daemon.runs.events import EventPublisher
from daemon.store.s3 import ObjectStore
from daemon.store.settings import LockSettings

log = structlog.get_logger()


class Locks:
    """Decides by `contracts.policy.locking`, and does it.  Everything may be repeated."""

    def __init__(self, catalog: Catalog, store: ObjectStore, events: EventPublisher, now: Callable[[], datetime]) -> None:
        self._catalog = catalog
        self._store = store
        self._events = events
        self._now = now

    def check_policy(self, policy: RetentionPolicy) -> None:
        """Raises: InvalidInput naming `retention.lock_days` for locks that this store cannot or must not set."""
        if not (days := policy.lock_days.longest):
            return
        settings = self._store.lock_settings
        if settings is None:
            raise InvalidInput(
                "input.invalid",
                "this coordinator locks nothing in its object store, so lock_days must be 0: the section [store.lock] of "
                "its settings switches locks on",
                field="retention.lock_days",
            )
        if days > settings.max_days:
            raise InvalidInput(
                "input.invalid",
                f"lock_days {days} is more than {settings.max_days:g}, the most that the setting store.lock.max_days allows",
                field="retention.lock_days",
            )

    async def keep(self, project: str, service: str) -> None:
        """Every completed backup of the service is locked for as long as it is to be, as far as that is possible.

        Raises: Unavailable when the store is away.
        """
        settings = self._store.lock_settings
        owner = await self._catalog.services.get(key(project, service)) if settings is not None else None
        if settings is None or owner is None:
            return
        for stored in await self._catalog.backups.select(key(project, service)):
            days = _wanted_days(stored.value, owner.value, settings)
            if _lacks(stored.value, days, self._now()):
                await self._lock(stored, days, settings)

    async def check_deletable(self, record: BackupRecord) -> None:
        """Raises: Conflict `backup.locked` while anything of the backup is held, with what can be done about it."""
        if record.lock is not None and record.lock.holds(self._now()):
            raise _refusal(record, record.lock.until, record.lock.mode)
        # The store has the last word: its own rules, or its owner, may hold what our records know nothing of.
        hold = await self._store.held(backup_prefix(record.project, record.service, record.id))
        if hold is not None:
            raise _refusal(record, hold.until, hold.mode)

    async def _lock(self, stored: Stored[BackupRecord], days: float, settings: LockSettings) -> None:
        record = stored.value
        assert record.finished_at is not None
        apart = timedelta(seconds=settings.max_clock_difference_s)
        store_now = await self._store.versions.store_now()
        doubt = check_clocks(self._now(), store_now, apart)
        if doubt is not None:
            await self._note(stored, record.lock, doubt.reason)
            return
        since = record.lock.since if record.lock else counts_from(record.requested_at, record.finished_at, store_now)
        wanted = wanted_until(since, days)
        if wanted is None or wanted <= store_now:
            return
        until = bounded(wanted, store_now, timedelta(days=days), apart)
        object_keys = [record.manifest_key, *(artifact.object_key for artifact in record.artifacts)]
        try:
            lock = await self._store.lock(object_keys, ObjectLock(mode=settings.mode, until=until, since=since))
        except (Corrupt, RunFailed) as exc:
            await self._note(stored, record.lock, exc.message)
            return
        await self._note(stored, lock, "")

    async def _note(self, stored: Stored[BackupRecord], lock: ObjectLock | None, problem: str) -> None:
        """Puts what is so into the record, and states it once."""
        while (record := stored.value).state is RunState.COMPLETED:
            if record.lock == lock and record.lock_problem == problem:
                return
            after = msgspec.structs.replace(record, lock=lock, lock_problem=problem)
            try:
                revision = await self._catalog.backups.update(stored.key, after, stored.revision)
            except RecordChanged:
                again = await self._catalog.backups.get(stored.key)
                if again is None:
                    return
                stored = again
                continue
            await self._events.publish(
                "backup.unlocked" if problem else "backup.locked",
                key=f"{record.project}/{record.service}/{record.id}:{revision}",
                at=self._now(),
                project=record.project,
                service=record.service,
                backup_id=record.id,
                reason=problem or (locked_words(lock.until) if lock else None),
                facts={"mode": str(lock.mode), "until": lock.until.isoformat()} if lock and not problem else None,
            )
            if problem:
                log.warning("backup.unlocked", backup_id=record.id, reason=problem)
            return


def _wanted_days(record: BackupRecord, service: ServiceRecord, settings: LockSettings) -> float:
    """For how many days the backup should be locked.  A policy may be older than the setting that bounds it."""
    policy = service.retention
    of_policy = policy.lock_days.of_backup(
        record.tags, automatic=record.trigger is Trigger.SCHEDULE, protected_tags=policy.protected_tags
    )
    return max(settings.min_days, min(of_policy, settings.max_days))


def _lacks(record: BackupRecord, days: float, now: datetime) -> bool:
    """Whether it may have to be locked for longer than it is: judged from the record alone, before the store is asked."""
    if record.state is not RunState.COMPLETED or record.finished_at is None:
        return False
    since = record.lock.since if record.lock is not None else max(record.requested_at, record.finished_at)
    until = wanted_until(since, days)
    if until is None or until <= now:
        return False
    return record.lock is None or until > record.lock.until


def _refusal(record: BackupRecord, until: datetime | None, mode: LockMode | None) -> Conflict:
    where = backup_prefix(record.project, record.service, record.id)
    if until is None:
        why = "bears a legal hold in the object store: whoever set it there can lift it"
    elif mode is LockMode.COMPLIANCE:
        why = f"is {locked_words(until)}, in compliance mode: before that nobody can delete it, the store's owner included"
    else:
        why = (
            f"is {locked_words(until)}, in governance mode: before that only an admin of the store can delete it, with the "
            f"right s3:BypassGovernanceRetention, version by version, under {where}"
        )
    return Conflict("backup.locked", f"backup {record.id} {why}", field="id")
