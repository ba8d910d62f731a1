"""Restores: asked for, finished, cancelled."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.errors import Conflict, Denied, InvalidInput, NotFound
from contracts.ids import new_run_id
from contracts.records import Activity, BackupRecord, RestoreRecord, RestoreTarget, RunKind, RunState
from contracts.reports import RestoreFinished
from contracts.services import kind_of
from daemon.catalog.buckets import RecordChanged, key
from daemon.catalog.catalog import restore_marker
from daemon.runs.nodes_alive import alive_nodes
from daemon.runs.placement import place_requested
from daemon.runs.runs import Runs, active_run
from daemon.runs.transitions import check_current, complete_restore


class Restores:
    """The life of restores, on top of what all runs have in common."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self._catalog = runs.catalog

    async def request(
        self,
        backup: BackupRecord,
        *,
        to_project: str,
        to_service: str,
        node: str = "",
        artifacts: Sequence[str] = (),
        rename: dict[str, str] | None = None,
        replace: bool = False,
        skip_roles: bool = False,
        directory: str = "",
        paths: Sequence[str] = (),
        actor: str = "",
    ) -> RestoreRecord:
        """A new restore, in its node's queue.  No artifacts named: all of them.

        Raises: NotFound, Conflict `backup.not_completed`, Conflict `restore.busy`, InvalidInput, Denied, Unavailable.
        """
        if backup.state is not RunState.COMPLETED:
            raise Conflict(
                "backup.not_completed", f"backup {backup.id} is {backup.state}: only a completed one can be restored"
            )
        service = (await self._catalog.need_service(to_project, to_service)).value
        if kind_of(service.options) != backup.kind:
            raise InvalidInput(
                "input.invalid",
                f"{to_project}/{to_service} is {kind_of(service.options)}, but the backup is of {backup.kind}",
                field="to",
            )
        chosen = _chosen(backup, artifacts, rename or {})
        placement = place_requested(service, await alive_nodes(self._runs, service.nodes), node)
        if not (await self._runs.node_record(placement.node)).recipient:
            raise Denied("key.unavailable", f"node {placement.node} has not shown its key yet: is its agent running?")
        now = self._runs.now()
        record = RestoreRecord(
            id=new_run_id(now),
            backup_id=backup.id,
            project=backup.project,
            service=backup.service,
            kind=backup.kind,
            state=RunState.REQUESTED,
            requested_at=now,
            target=RestoreTarget(
                project=to_project,
                service=to_service,
                node=placement.node,
                rename=rename or {},
                replace=replace,
                skip_roles=skip_roles,
                directory=directory,
                paths=list(paths),
            ),
            artifacts=chosen,
            size_bytes=sum(artifact.stored_bytes for artifact in backup.artifacts if artifact.name in chosen),
            actor=actor,
        )
        marker = restore_marker(to_project, to_service)
        holder = await self._runs.occupy(marker, active_run(Activity.RESTORE, record, now))
        if holder is not None:
            raise Conflict("restore.busy", f"restore {holder.run_id} to {to_project}/{to_service} is still under way")
        try:
            await self._catalog.restores.create(key(record.project, record.service, record.id), record)
        except RecordChanged:
            await self._runs.release(marker, record.id)
            raise
        await self._runs.hand_over(record)
        await self._runs.events.run("requested", record, at=now, reason=placement.reason)
        return record

    async def finish(self, node: str, report: RestoreFinished) -> None:
        """Records a restore that is in place.  Safe to repeat.  Raises: Conflict `run.not_current`."""
        while True:
            stored = await self._runs.need(RunKind.RESTORE, report.project, report.service, report.run_id)
            record: RestoreRecord = stored.value
            if record.state is RunState.COMPLETED and (record.node, record.attempt) == (node, report.attempt):
                await self._runs.settle(record)
                return
            check_current(record, node=node, attempt=report.attempt)
            after = complete_restore(record, report)
            try:
                await self._catalog.restores.update(stored.key, after, stored.revision)
            except RecordChanged:
                continue
            await self._runs.settle(after)
            return

    async def cancel(self, project: str, service: str, restore_id: str, *, actor: str = "") -> RestoreRecord:
        """Ends a restore that has not ended; the target is left as it was.  Raises: Conflict `run.not_current`."""
        stored = await self._catalog.need_restore(project, service, restore_id)
        await self._runs.cancel(RunKind.RESTORE, stored, actor=actor)
        return (await self._catalog.need_restore(project, service, restore_id)).value


def _chosen(backup: BackupRecord, wanted: Sequence[str], rename: dict[str, str]) -> list[str]:
    names = [artifact.name for artifact in backup.artifacts]
    for name in wanted:
        if name not in names:
            raise NotFound(
                "artifact.not_found",
                f"backup {backup.id} has no {name!r}; it has {', '.join(map(repr, names))}",
                field="artifacts",
            )
    chosen = [name for name in names if not wanted or name in wanted]
    for name in rename:
        if name not in chosen:
            raise InvalidInput("input.invalid", f"{name!r} is renamed but not restored", field="rename")
    new_names = [rename.get(name, name) for name in chosen]
    if len(set(new_names)) != len(new_names):
        raise InvalidInput("input.invalid", "two databases would get the same name", field="rename")
    return chosen
