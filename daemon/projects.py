"""Projects: created, given a quota, deleted and had back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from contracts.control import RevealedIdentities
from contracts.custody import CustodyKind, changed_recipients, check_count
from contracts.errors import Conflict, InvalidInput
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
        self,
        name: str,
        recovery_recipients: Sequence[str],
        plan: QuotaPlan,
        quota_bytes: int | None,
        *,
        custody: CustodyKind = CustodyKind.MANAGED,
        recipients: Sequence[str] = (),
    ) -> ProjectRecord:
        """A project with a fresh managed key, or in customer custody with these recipients and nothing that opens a backup.

        Raises: InvalidInput, Conflict `project.exists`.
        """
        check_slug(name, "name")
        own = _own_recipients(custody, recipients)
        extra = [str(parse_recipient(text, "recovery_recipients")) for text in recovery_recipients]
        check_count([*own, *extra], "recovery_recipients" if extra else "recipients")
        quota = quota_of(plan, quota_bytes)
        if await self._catalog.projects.get(name) is not None:
            await self._catalog.need_live_project(name)  # a deleted one can be had back, which is told
            raise Conflict("project.exists", f"project {name!r} exists already", field="name")
        key_id = ""
        if custody is CustodyKind.MANAGED:
            project_key = await self._custody.create_key(name)
            key_id, own = project_key.key_id, [project_key.recipient]
        record = ProjectRecord(
            name=name,
            created_at=self._runs.now(),
            key_id=key_id,
            recipients=list(dict.fromkeys([*own, *extra])),
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

    async def set_recipients(self, project: str, *, add: Sequence[str], remove: Sequence[str], actor: str) -> ProjectRecord:
        """Of backups that are asked for from now on; those that exist open for whom they were made.

        Raises: InvalidInput, NotFound, Conflict `record.changed`, `project.deleted`.
        """
        added = [str(parse_recipient(text, "add")) for text in add]
        removed = [str(parse_recipient(text, "remove")) for text in remove]
        if not added and not removed:
            raise InvalidInput("input.invalid", "name a recipient to add or to remove", field="add")
        stored = await self._catalog.need_live_project(project)
        before = stored.value
        fixed = before.recipients[0] if before.key_id else ""
        after = changed_recipients(before.recipients, fixed=fixed, add=added, remove=removed)
        if after == before.recipients:
            return before
        record = msgspec.structs.replace(before, recipients=after)
        await self._catalog.projects.update(stored.key, record, stored.revision)
        facts = {"added": [each for each in after if each not in before.recipients], "removed": removed}
        await self._tell("changed", record, actor=actor, facts=facts)
        return record

    async def reveal(self, project: str, *, confirm: str, actor: str) -> RevealedIdentities:
        """What opens every backup of the project.  The event that tells of it is stored before anybody has the answer.

        Raises: InvalidInput without the confirmation, NotFound, Denied `key.unavailable`.
        """
        record = (await self._catalog.need_project(project)).value
        if confirm != project:
            message = f"the identity opens every backup of the project: confirm with the project's name, {project}"
            raise InvalidInput("input.invalid", message, field="confirm")
        found = await self._custody.reveal(project)
        now = self._runs.now()
        await self._runs.events.publish(
            "key.revealed",
            key=f"{record.name}:{now.isoformat()}",
            at=now,
            project=record.name,
            actor=actor or None,
            facts={"key_ids": [each.key_id for each in found]},
        )
        return RevealedIdentities(identities=found)

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


def _own_recipients(custody: CustodyKind, recipients: Sequence[str]) -> list[str]:
    """Of a project whose identity is not made here.  Raises: InvalidInput."""
    if custody is CustodyKind.MANAGED:
        if recipients:
            raise InvalidInput(
                "input.invalid",
                "with managed custody the project's own recipient is made here: give further ones as recovery recipients, "
                "or choose customer custody",
                field="recipients",
            )
        return []
    if not recipients:
        raise InvalidInput(
            "input.invalid",
            "customer custody needs the recipient of an identity that you hold: `age-keygen -o key.txt` makes one",
            field="recipients",
        )
    return [str(parse_recipient(text, "recipients")) for text in recipients]
