"""Retention at work: the rule of `contracts.policy.retention` held against the catalogue, and what it says done.

It runs while the backup that has just ended still has the service's place, so no other run of the service begins meanwhile,
and what is cut off is done again by whoever settles that backup.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence, Set
from typing import Final

import msgspec
import structlog

from contracts.errors import Conflict, NotFound
from contracts.policy.freeze import Freeze
from contracts.policy.making_room import plan_room
from contracts.policy.retention import RetentionPlan, RetentionPolicy, Verdict, facts_of, plan
from contracts.records import BackupRecord, ProjectRecord, RunState, ServiceRecord, ServiceState
from daemon.catalog.buckets import RecordChanged, Stored, key
from daemon.runs.deletions import Deletions
from daemon.runs.runs import Runs

log = structlog.get_logger()

ACTOR: Final = "retention"
_FAILURES_KEPT: Final = 200
"""Records of runs without success that a service keeps, the newest; older ones only fill lists.  The ledger still counts
them."""
_UNSUCCESSFUL: Final = frozenset({RunState.FAILED, RunState.CANCELLED, RunState.MISSED})


class Retention:
    """Plans, and applies plans.  Applying twice, or in two coordinators at once, deletes nothing more."""

    def __init__(self, runs: Runs, deletions: Deletions, *, lists_may_lag: bool = False) -> None:
        self._runs = runs
        self._lists_may_lag = lists_may_lag
        """Whether lists are answered by replicas, of which one may be behind."""
        self._catalog = runs.catalog
        self._deletions = deletions
        self._making_room: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def plan(
        self, owner: ProjectRecord, service: ServiceRecord, policy: RetentionPolicy | None = None
    ) -> RetentionPlan:
        """What the policy, by default the service's own, says of the backups that there are."""
        return self._plan(await self._backups(service), owner, policy or service.retention)

    async def after(self, record: BackupRecord) -> None:
        """What follows from a backup that has ended: retention after a good one, and in any case its freeze stated."""
        current = await self._current(record.project, record.service)
        if current is None:
            return
        owner, service = current
        backups = await self._backups(service)
        planned = self._plan(backups, owner, service.retention)
        await self._state_freeze(service, planned.freeze)
        # A list that does not have the run itself is older than what has to be decided: the next run makes up for it.
        if record.state is RunState.COMPLETED and any(stored.value.id == record.id for stored in backups):
            await self._delete(service, planned.expired)
        await self._forget_failures(backups)

    async def apply(self, owner: ProjectRecord, service: ServiceRecord) -> RetentionPlan:
        """The service's policy applied as it is now; the plan that was followed."""
        planned = await self.plan(owner, service)
        await self._state_freeze(service, planned.freeze)
        await self._delete(service, planned.expired)
        return planned

    def is_making_room(self, project: str) -> bool:
        """Whether somebody is at it: a run that could wait need not stand in line."""
        return self._making_room[project].locked()

    async def make_room(self, project: str, service: str, wanted_bytes: int) -> bool:
        """Whether the project has so many bytes free now, after deleting what no policy of it insists on, if need be.

        Nothing is deleted when that much cannot be freed.  Somebody else may be quicker to take what was freed.
        """
        # One after another: who waited may find room that the one before has made.
        async with self._making_room[project]:
            passed_over: set[str] = set()
            while (short_bytes := await self._runs.quotas.shortage(project, wanted_bytes)) > 0:
                room = await self._plan_room(project, service, short_bytes, passed_over)
                if not room:
                    return False
                for of, verdict, reason in room:
                    if not await self._still_holds(of) or not await self._delete_one(of, verdict, reason):
                        passed_over.add(verdict.run.id)
            return True

    async def _plan_room(
        self, project: str, service: str, short_bytes: int, passed_over: Set[str]
    ) -> list[tuple[ServiceRecord, Verdict, str]]:
        """What to delete and why, in this order: first what expires anyway, the service's own before others'."""
        owner = (await self._catalog.need_project(project)).value
        services = {stored.value.name: stored.value for stored in await self._catalog.services.select(project)}
        plans = {}
        for name, each in services.items():
            if each.deletion is None:
                planned = await self.plan(owner, each)
                verdicts = [verdict for verdict in planned.verdicts if verdict.run.id not in passed_over]
                plans[name] = msgspec.structs.replace(planned, verdicts=verdicts)
        # It is there only where a quota was lowered, or retention was cut off.
        expired = [(services[name], verdict) for name, planned in plans.items() for verdict in planned.expired]
        expired.sort(key=lambda each: (each[0].name != service, each[1].run.at))
        chosen: list[tuple[ServiceRecord, Verdict, str]] = []
        for of, verdict in expired:
            if short_bytes > 0:
                chosen.append((of, verdict, verdict.reason))
                short_bytes -= verdict.run.size_bytes
        if short_bytes <= 0:
            return chosen
        reason = f"room for a backup of {service} in the project's quota, and no policy insists on it"
        room = plan_room(plans, short_bytes, service)
        return [*chosen, *((services[name], verdict, reason) for name, verdict in room)] if room else []

    def _plan(self, backups: Sequence[Stored[BackupRecord]], owner: ProjectRecord, policy: RetentionPolicy) -> RetentionPlan:
        return plan([facts_of(stored.value) for stored in backups], within_quota(policy, owner), self._runs.now())

    async def _current(self, project: str, service: str) -> tuple[ProjectRecord, ServiceRecord] | None:
        """None for what is deleted or gone: its backups stay as they are until they go all at once."""
        owner = await self._catalog.projects.get(project)
        stored = await self._catalog.services.get(key(project, service))
        if owner is None or stored is None or owner.value.deletion is not None or stored.value.deletion is not None:
            return None
        return owner.value, stored.value

    async def _backups(self, service: ServiceRecord) -> list[Stored[BackupRecord]]:
        """All records of the service, oldest first, as the stream's leader has them."""
        listed = await self._catalog.backups.select(key(service.project, service.name))
        if not self._lists_may_lag:
            return listed
        # A replica may have answered: what it did not know yet is in no list, but what it listed is read again.
        fresh = await asyncio.gather(*(self._catalog.backups.get(stored.key) for stored in listed))
        return [stored for stored in fresh if stored is not None]

    async def _delete(self, service: ServiceRecord, expired: Sequence[Verdict]) -> None:
        """Oldest first.  Stops where the policy is changed meanwhile, since whoever changed it applies the new one, and when
        retention has to hold still."""
        for verdict in expired:
            if not await self._still_holds(service):
                log.info("retention.stopped", project=service.project, service=service.name)
                return
            await self._delete_one(service, verdict, verdict.reason)

    async def _still_holds(self, service: ServiceRecord) -> bool:
        current = await self._current(service.project, service.name)
        state = await self._catalog.states.get(key(service.project, service.name))
        is_frozen = state is not None and state.value.freeze is not None
        return current is not None and current[1].retention == service.retention and not is_frozen

    async def _delete_one(self, service: ServiceRecord, verdict: Verdict, reason: str) -> bool:
        try:
            await self._deletions.delete(service.project, service.name, verdict.run.id, reason=reason, actor=ACTOR)
        except (Conflict, NotFound) as exc:
            # Read by a restore, protected a moment ago, or gone already: the next plan sees it as it is then.
            log.info("retention.skipped", backup_id=verdict.run.id, code=exc.code, reason=exc.message)
            return False
        return True

    async def _state_freeze(self, service: ServiceRecord, freeze: Freeze | None) -> None:
        """An event when retention begins to hold still, for another reason, or no longer."""
        name = key(service.project, service.name)
        stored = await self._catalog.states.get(name)
        before = stored.value.freeze if stored is not None else None
        if freeze == before:
            return
        run = freeze or before
        assert run is not None
        await self._runs.events.publish(
            "retention.frozen" if freeze else "retention.resumed",
            key=f"{service.project}/{service.name}/{run.run_id}:{run.cause}",
            at=self._runs.now(),
            project=service.project,
            service=service.name,
            backup_id=run.run_id,
            reason=freeze.reason if freeze else "the newest backups look healthy again",
            facts={"cause": str(run.cause)},
        )

        def stated(state: ServiceState) -> ServiceState:
            return msgspec.structs.replace(state, freeze=freeze)

        await self._catalog.states.change(name, stated, absent=ServiceState())

    async def _forget_failures(self, backups: Sequence[Stored[BackupRecord]]) -> None:
        unsuccessful = [stored for stored in backups if stored.value.state in _UNSUCCESSFUL]
        for stored in unsuccessful[:-_FAILURES_KEPT]:
            try:
                await self._catalog.backups.delete(stored.key, stored.revision)
            except RecordChanged:
                log.debug("record.changed", backup=stored.key)


def within_quota(policy: RetentionPolicy, owner: ProjectRecord) -> RetentionPolicy:
    """The policy with its total size limited by the project's quota, which no service can pass."""
    if policy.total_size_bytes is not None and policy.total_size_bytes <= owner.quota_bytes:
        return policy
    return msgspec.structs.replace(policy, total_size_bytes=owner.quota_bytes)
