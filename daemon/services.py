"""Services: added, changed, scheduled, told what to keep, deleted and had back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import msgspec

from contracts.control import BackupVerdict, DueTimes, RetentionView
from contracts.errors import Conflict, InvalidInput, NotFound
from contracts.ids import check_slug
from contracts.policy.retention import RetentionPlan, RetentionPolicy, Rule
from contracts.policy.schedule import Schedule
from contracts.policy.success import due_figures
from contracts.records import Deletion, ProjectRecord, ServiceRecord
from contracts.services import ServiceOptions, kind_of
from daemon.catalog.buckets import RecordChanged, key
from daemon.retention import Retention
from daemon.runs.runs import Runs
from daemon.schedules import next_dues

_DELETING_RULES: Final = frozenset({Rule.CLASS_MAXIMUM, Rule.TOTAL_SIZE, Rule.TOTAL_COUNT, Rule.FROZEN})
"""What deletes, now or when retention does not hold still any more."""
_FIGURES_OF: Final = timedelta(days=30)


class Services:
    """What an operator sets up of services.  Every call either does all it says or changes nothing that matters."""

    def __init__(self, runs: Runs, retention: Retention, *, grace: timedelta) -> None:
        self._runs = runs
        self._catalog = runs.catalog
        self._retention = retention
        self._grace = grace

    async def add(
        self,
        project: str,
        name: str,
        options: ServiceOptions,
        nodes: Sequence[str],
        schedule: Schedule | None,
        retention: RetentionPolicy,
    ) -> ServiceRecord:
        """Raises: InvalidInput, NotFound for the project or a node, Conflict `service.exists`, `project.deleted`."""
        check_slug(name, "name")
        await self._catalog.need_live_project(project)
        await self._check_nodes(nodes)
        record = ServiceRecord(
            project=project,
            name=name,
            created_at=self._runs.now(),
            options=options,
            nodes=list(dict.fromkeys(nodes)),
            schedule=schedule,
            retention=retention,
        )
        try:
            await self._catalog.services.create(key(project, name), record)
        except RecordChanged:
            await self._catalog.need_live_service(project, name)  # a deleted one can be had back, which is told
            raise Conflict("service.exists", f"{project!r} has a service {name!r} already", field="name") from None
        await self._tell("added", record, facts={"kind": kind_of(options), "nodes": record.nodes})
        return record

    async def change(
        self, project: str, service: str, options: ServiceOptions | None, nodes: Sequence[str] | None
    ) -> ServiceRecord:
        """Raises: InvalidInput, NotFound, Conflict `record.changed`, `service.deleted`."""
        _, stored = await self._catalog.need_live_service(project, service)
        record = stored.value
        if options is not None:
            if kind_of(options) != kind_of(record.options):
                raise InvalidInput(
                    "input.invalid", "a service's kind cannot be changed: add another service", field="options"
                )
            record = msgspec.structs.replace(record, options=options)
        if nodes is not None:
            await self._check_nodes(nodes)
            record = msgspec.structs.replace(record, nodes=list(dict.fromkeys(nodes)))
        await self._catalog.services.update(stored.key, record, stored.revision)
        await self._tell("changed", record)
        return record

    async def set_schedule(self, project: str, service: str, schedule: Schedule | None, *, actor: str) -> ServiceRecord:
        """What is due from now on.  Raises: NotFound, Conflict `record.changed`, `service.deleted`."""
        _, stored = await self._catalog.need_live_service(project, service)
        if schedule == stored.value.schedule:
            return stored.value
        record = msgspec.structs.replace(stored.value, schedule=schedule, scheduled_since=self._runs.now())
        await self._catalog.services.update(stored.key, record, stored.revision)
        await self._runs.ledger.write_off(project, service, "the schedule was changed before any node could make it")
        await self._tell("changed", record, actor=actor, facts={"changed": "schedule"})
        return record

    async def set_retention(
        self, project: str, service: str, policy: RetentionPolicy, *, dry_run: bool, confirm: bool, actor: str
    ) -> RetentionView:
        """The policy held against the backups that there are, and then applied, unless it is only a question.

        Raises: NotFound, Conflict `retention.unconfirmed` when it would delete and nobody agreed, `record.changed`,
        `service.deleted`.
        """
        owner, stored = await self._catalog.need_live_service(project, service)
        planned = await self._retention.plan(owner, stored.value, policy)
        if dry_run:
            return _retention_view(stored.value, policy, planned, applied=False)
        if not confirm and (count := sum(verdict.rule in _DELETING_RULES for verdict in planned.verdicts)):
            when = "as soon as it is not frozen any more" if planned.freeze else "at once"
            raise Conflict(
                "retention.unconfirmed",
                f"this policy deletes {count} backup{'' if count == 1 else 's'} of {project}/{service} {when}: look at them "
                "with a dry run, then confirm",
                field="confirm",
            )
        record = msgspec.structs.replace(stored.value, retention=policy)
        await self._catalog.services.update(stored.key, record, stored.revision)
        await self._tell("changed", record, actor=actor, facts={"changed": "retention"})
        if confirm:
            planned = await self._retention.apply(owner, record)
        return _retention_view(record, policy, planned, applied=True)

    async def retention(self, project: str, service: str) -> RetentionView:
        """Why each backup is kept, and what the next one will cost."""
        owner = (await self._catalog.need_project(project)).value
        record = (await self._catalog.need_service(project, service)).value
        return _retention_view(record, record.retention, await self._retention.plan(owner, record), applied=False)

    async def dues(self, project: str, service: str, *, ahead: int, past: int) -> DueTimes:
        """The schedule with what comes of it, and the newest entries of the ledger."""
        owner = (await self._catalog.need_project(project)).value
        record = (await self._catalog.need_service(project, service)).value
        now = self._runs.now()
        entries = await self._runs.ledger.of_service(project, service)
        return DueTimes(
            schedule=record.effective_schedule,
            is_default=record.schedule is None,
            next=[] if is_off(owner, record) else next_dues(record.effective_schedule, now, ahead),
            past=entries[:past],
            figures=due_figures(entries, now - _FIGURES_OF),
        )

    async def delete(self, project: str, service: str, *, actor: str) -> ServiceRecord:
        """Marks it: nothing is backed up any more, nothing is lost before the grace is over.

        Raises: NotFound, Conflict `service.deleted`, `record.changed`.
        """
        _, stored = await self._catalog.need_live_service(project, service)
        now = self._runs.now()
        record = msgspec.structs.replace(stored.value, deletion=Deletion(at=now, purge_at=now + self._grace, actor=actor))
        await self._catalog.services.update(stored.key, record, stored.revision)
        await self._runs.ledger.write_off(project, service, "the service was deleted before any node could make it")
        assert record.deletion is not None
        await self._tell("deleted", record, actor=actor, facts={"purge_at": record.deletion.purge_at.isoformat()})
        return record

    async def undelete(self, project: str, service: str, *, actor: str) -> ServiceRecord:
        """As if it had not been deleted, but for what was due meanwhile.

        Raises: NotFound, Conflict `service.not_deleted`, `service.deleted` once its backups began to go, `project.deleted`.
        """
        await self._catalog.need_live_project(project)
        stored = await self._catalog.need_service(project, service)
        check_undeletable(stored.value.deletion, "service", f"{project}/{service}")
        record = msgspec.structs.replace(stored.value, deletion=None, scheduled_since=self._runs.now())
        await self._catalog.services.update(stored.key, record, stored.revision)
        await self._tell("undeleted", record, actor=actor)
        return record

    async def restart_schedules(self, project: str) -> None:
        """What was due while the project was deleted is not made up for."""
        now = self._runs.now()
        for stored in await self._catalog.services.select(project):
            await self._catalog.services.change(
                stored.key, lambda record: msgspec.structs.replace(record, scheduled_since=now)
            )
            await self._runs.ledger.write_off(
                project, stored.value.name, "the project was deleted before any node could make it"
            )

    async def _check_nodes(self, nodes: Sequence[str]) -> None:
        if not nodes:
            raise InvalidInput("input.invalid", "a service needs at least one node", field="nodes")
        for node in nodes:
            try:
                await self._catalog.need_node(node)
            except NotFound as exc:
                raise NotFound(exc.code, exc.message, field="nodes") from exc

    async def _tell(self, verb: str, record: ServiceRecord, *, actor: str = "", facts: dict[str, Any] | None = None) -> None:
        now = self._runs.now()
        await self._runs.events.publish(
            f"service.{verb}",
            key=f"{record.project}/{record.name}:{now.isoformat()}",
            at=now,
            project=record.project,
            service=record.name,
            actor=actor or None,
            facts=facts,
        )


def is_off(owner: ProjectRecord | None, record: ServiceRecord) -> bool:
    """Whether nothing of it is backed up by itself, since it or its project is on its way out."""
    return record.deletion is not None or owner is None or owner.deletion is not None


def check_undeletable(deletion: Deletion | None, what: str, name: str) -> None:
    """Raises: Conflict `….not_deleted`, or `….deleted` where it is too late."""
    if deletion is None:
        raise Conflict(f"{what}.not_deleted", f"{what} {name} is not deleted: there is nothing to undelete", field=what)
    if deletion.purging:
        raise Conflict(f"{what}.deleted", f"the grace of {what} {name} is over, and its backups are going", field=what)


def _retention_view(
    record: ServiceRecord, policy: RetentionPolicy, planned: RetentionPlan, *, applied: bool
) -> RetentionView:
    return RetentionView(
        project=record.project,
        service=record.name,
        policy=policy,
        verdicts=[BackupVerdict.of(verdict) for verdict in planned.verdicts],
        freeze=planned.freeze,
        applied=applied,
    )
