"""What becomes of a run that failed where it was: another healthy node takes it over, or it has failed."""

from __future__ import annotations

from typing import Any, Final

from contracts.errors import Conflict, ErrorInfo, NotFound
from contracts.records import BackupRecord, RunKind, RunState
from daemon.catalog.buckets import RecordChanged, Stored
from daemon.runs.nodes_alive import alive_nodes
from daemon.runs.placement import Placement, place_due
from daemon.runs.runs import Runs
from daemon.runs.transitions import move

_OF_THE_NODE: Final = frozenset({"agent", "dump", "engine", "node", "spool"})
_ALSO_OF_THE_NODE: Final = frozenset({"service.not_configured", "upload.failed"})
_THE_SAME_EVERYWHERE: Final = frozenset({"engine.unsupported"})
"""What an engine has in it does not change with the node that looks at it."""


class Mover:
    """Ends runs that failed, unless another node can be tried."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    async def fail(self, kind: RunKind, stored: Stored[Any], state: RunState, error: ErrorInfo) -> None:
        """Safe to repeat; a run that has ended meanwhile stays as it is."""
        if isinstance(stored.value, BackupRecord) and await self._move(stored, error):
            return
        await self._runs.end(kind, stored, state, error)

    async def _move(self, stored: Stored[BackupRecord], error: ErrorInfo) -> bool:
        failed = stored.value
        while True:
            record = stored.value
            if (record.attempt, record.node) != (failed.attempt, failed.node):
                return True  # somebody else decided the same in the same moment
            if not may_move(record, error, self._runs.max_attempts) or await self._runs.is_whole(record):
                return False
            placement = await self._find_place(record)
            if placement is None:
                return False
            after = move(record, placement.node, f"{placement.reason}, after {record.node} failed ({error.code})")
            try:
                await self._runs.catalog.backups.update(stored.key, after, stored.revision)
            except RecordChanged:
                again = await self._runs.catalog.backups.get(stored.key)
                if again is None:
                    return True
                stored = again
                continue
            await self._follow_up(after, error)
            return True

    async def _find_place(self, record: BackupRecord) -> Placement | None:
        try:
            _, service = await self._runs.catalog.need_live_service(record.project, record.service)
        except (NotFound, Conflict):
            return None  # on its way out: what runs may end well, but nothing begins anew
        tried = {*record.tried_nodes, record.node}
        alive = await alive_nodes(self._runs, [node for node in service.value.nodes if node not in tried])
        return place_due(service.value, alive, record.id, without=tried)

    async def _follow_up(self, after: BackupRecord, error: ErrorInfo) -> None:
        """Where this is cut off the reaper goes on: it hands over what was not, and removes what no attempt owns."""
        await self._runs.uploads.discard_all(after, keep_attempt=after.attempt)
        await self._runs.hand_over(after)
        await self._runs.events.run("retried", after, at=self._runs.now(), reason=f"{error.code}: {error.message}")


def may_move(record: BackupRecord, error: ErrorInfo, max_attempts: int) -> bool:
    """Whether another node might do better: the cause lies in the node, nobody asked for this one, and attempts are left."""
    cause = error.code.partition(".")[0] in _OF_THE_NODE or error.code in _ALSO_OF_THE_NODE
    cause = cause and error.code not in _THE_SAME_EVERYWHERE
    return cause and record.state.is_active and not record.pinned and record.attempt < max_attempts
