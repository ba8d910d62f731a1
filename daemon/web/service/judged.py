"""All backups of a service with what retention says of each: read once, since reading is what a long list costs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from contracts import control
from contracts.policy.freeze import Freeze
from contracts.policy.retention import Decision, Verdict, facts_of, plan
from contracts.records import BackupRecord, ProjectRecord
from daemon.http.backend import Backend
from daemon.retention import within_quota
from daemon.web.service.scope import Scope

_BATCH = 10_000
"""As many as the coordinator gives at once."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """The backups as they are now, and the service's policy held against them, as the coordinator holds it."""

    records: Sequence[BackupRecord]
    """Newest first."""
    verdicts: Mapping[str, Verdict]
    """By id."""
    freeze: Freeze | None

    @property
    def kept(self) -> list[Verdict]:
        """Of all completed ones."""
        return [verdict for verdict in self.verdicts.values() if verdict.decision is not Decision.UNTOUCHED]


async def judged_backups(backend: Backend, scope: Scope) -> Judged:
    """Raises: StrongroomError."""
    records, owner = await asyncio.gather(_records(backend, scope), _owner(backend, scope))
    policy = within_quota(scope.view.record.retention, owner)
    planned = plan(map(facts_of, records), policy, backend.now())
    return Judged(records=records, verdicts={verdict.run.id: verdict for verdict in planned.verdicts}, freeze=planned.freeze)


async def _records(backend: Backend, scope: Scope) -> list[BackupRecord]:
    found: list[BackupRecord] = []
    cursor = ""
    while True:
        request = control.BackupList(project=scope.project, service=scope.service, cursor=cursor, limit=_BATCH)
        page = await backend.control.invoke(control.BACKUP_LIST, request, scope.caller)
        found += page.backups
        if not (cursor := page.next_cursor):
            return found


async def _owner(backend: Backend, scope: Scope) -> ProjectRecord:
    return await backend.control.invoke(control.PROJECT_SHOW, control.ProjectRef(project=scope.project), scope.caller)
