"""Projects: created, given a quota, deleted and had back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from contracts.errors import Conflict
from contracts.ids import check_slug
from contracts.policy.quota_plan import QuotaPlan, quota_of
from contracts.records import Deletion, ProjectRecord
from daemon.catalog.buckets import RecordChanged
from daemon.keys.custody import Custody, parse_recipient
from daemon.runs.runs import Runs
from daemon.services import Services, check_undeletable


class Projects:
    """What an operator sets up of projects.  Every call either does all it says or changes nothing that matters."""

    def __init__(self, runs: Runs, services: Services, custody: Custody, *, grace: timedelta) -> None:
        self._runs = runs
        self._catalog = runs.catalog
        self._services = services
        self._custody = custody
        self._grace = grace

    async def create(
        self, name: str, recovery_recipients: Sequence[str], plan: QuotaPlan, quota_bytes: int | None
    ) -> ProjectRecord:
        """A project with a fresh managed key.  Raises: InvalidInput, Conflict `project.exists`."""
        check_slug(name, "name")
        extra = [str(parse_recipient(text, "recovery_recipients")) for text in recovery_recipients]
        quota = quota_of(plan, quota_bytes)
        if await self._catalog.projects.get(name) is not None:
            await self._catalog.need_live_project(name)  # a deleted one can be had back, which is told
            raise Conflict("project.exists", f"project {name!r} exists already", field="name")
        project_key = await self._custody.create_key(name)
        record = ProjectRecord(
            name=name,
            created_at=self._runs.now(),
            key_id=project_key.key_id,
            recipients=list(dict.fromkeys([project_key.recipient, *extra])),
            plan=plan,
            quota_bytes=quota,
        )
        try:
            await self._catalog.projects.create(name, record)
        except RecordChanged:
            raise Conflict("project.exists", f"project {name!r} exists already", field="name") from None
        await self._tell("created", record)
        return record

    async def all(self) -> list[ProjectRecord]:
        return [stored.value for stored in await self._catalog.projects.select()]

    async def set_quota(self, project: str, plan: QuotaPlan, quota_bytes: int | None, *, actor: str) -> ProjectRecord:
        """Deletes nothing, even where more is stored already: then nothing more fits.

        Raises: InvalidInput, NotFound, Conflict `record.changed`, `project.deleted`.
        """
        quota = quota_of(plan, quota_bytes)
        stored = await self._catalog.need_live_project(project)
        record = msgspec.structs.replace(stored.value, plan=plan, quota_bytes=quota)
        await self._catalog.projects.update(stored.key, record, stored.revision)
        await self._tell("changed", record, actor=actor, facts={"plan": str(plan), "quota_bytes": quota})
        return record

    async def delete(self, project: str, *, actor: str) -> ProjectRecord:
        """Marks it: nothing of it is backed up any more, nothing is lost before the grace is over.

        Raises: NotFound, Conflict `project.deleted`, `record.changed`.
        """
        stored = await self._catalog.need_live_project(project)
        now = self._runs.now()
        deletion = Deletion(at=now, purge_at=now + self._grace, actor=actor)
        record = msgspec.structs.replace(stored.value, deletion=deletion)
        await self._catalog.projects.update(stored.key, record, stored.revision)
        await self._tell("deleted", record, actor=actor, facts={"purge_at": deletion.purge_at.isoformat()})
        return record

    async def undelete(self, project: str, *, actor: str) -> ProjectRecord:
        """As if it had not been deleted, but for what was due meanwhile.

        Raises: NotFound, Conflict `project.not_deleted`, `project.deleted` once its backups began to go.
        """
        stored = await self._catalog.need_project(project)
        check_undeletable(stored.value.deletion, "project", project)
        record = msgspec.structs.replace(stored.value, deletion=None)
        # Before the project counts again, so that no coordinator takes the time between for missed.
        await self._services.restart_schedules(project)
        await self._catalog.projects.update(stored.key, record, stored.revision)
        await self._tell("undeleted", record, actor=actor)
        return record

    async def _tell(self, verb: str, record: ProjectRecord, *, actor: str = "", facts: dict[str, Any] | None = None) -> None:
        now = self._runs.now()
        await self._runs.events.publish(
            f"project.{verb}",
            key=f"{record.name}:{now.isoformat()}",
            at=now,
            project=record.name,
            actor=actor or None,
            facts=facts,
        )
