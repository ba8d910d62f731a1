"""Tags that people give and take away."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from contracts.errors import Conflict, InvalidInput
from contracts.policy.tags import TIME_TAGS, check_user_tags
from contracts.records import BackupRecord, RunState
from daemon.runs.runs import Runs


class Tagging:
    """Changes of backups' tags.  Retention looks at them the next time it runs for the service."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._catalog = runs.catalog

    async def change(
        self, project: str, service: str, backup_id: str, *, add: Sequence[str], remove: Sequence[str], actor: str
    ) -> BackupRecord:
        """The record with its new tags.

        Raises: NotFound, InvalidInput for tags that cannot be or are reserved, Conflict `backup.not_completed` for one that
        is being deleted, `record.changed`.
        """
        added, removed = check_user_tags(add, "add"), check_user_tags(remove, "remove")
        if both := sorted(set(added).intersection(removed)):
            raise InvalidInput("input.invalid", f"tag {both[0]!r} is added and removed at once", field="add")
        stored = await self._catalog.need_backup(project, service, backup_id)
        before = stored.value
        if before.state is RunState.DELETING:
            raise Conflict("backup.not_completed", f"backup {backup_id} is being deleted: its tags stay as they are")
        theirs = (set(before.tags) | set(added)) - set(removed)
        check_user_tags(sorted(theirs - TIME_TAGS), "add")  # how many there may be
        after = msgspec.structs.replace(before, tags=sorted(theirs))
        if after.tags == sorted(before.tags):
            return before
        revision = await self._catalog.backups.update(stored.key, after, stored.revision)
        await self._runs.events.publish(
            "backup.tagged",
            key=f"{project}/{service}/{backup_id}:{revision}",
            at=self._runs.now(),
            project=project,
            service=service,
            backup_id=backup_id,
            actor=actor or None,
            facts={
                "added": sorted(set(after.tags) - set(before.tags)),
                "removed": sorted(set(before.tags) - set(after.tags)),
            },
        )
        return after

    async def protect(self, project: str, service: str, backup_id: str, *, protect: bool, actor: str) -> BackupRecord:
        """Gives the backup the first protected tag of its service's policy, or takes every protected one away.

        A policy may protect the coordinator's own tags too, such as every `monthly` one: those stay.

        Raises: as `change`, and InvalidInput when the policy has no protected tag that people give.
        """
        protected = (await self._catalog.need_service(project, service)).value.retention.protected_tags
        ours = [tag for tag in protected if tag.lower() not in TIME_TAGS]
        if not ours:
            raise InvalidInput(
                "input.invalid",
                f"the policy of {project}/{service} names no protected tag that people give: `strongroom service "
                "set-retention --protect-tag TAG` adds one",
                field="retention.protected_tags",
            )
        if protect:
            record = (await self._catalog.need_backup(project, service, backup_id)).value
            add = [] if set(protected).intersection(record.tags) else ours[:1]
            return await self.change(project, service, backup_id, add=add, remove=[], actor=actor)
        return await self.change(project, service, backup_id, add=[], remove=ours, actor=actor)
