"""Having Meilisearch make a dump: the task, polled to its end, the file that it leaves, and the removal of that.

A dump goes before the indexing that waits in the queue, but not before what is being processed, which may take hours; and
nothing is processed while it is made.  So what Meilisearch counts while our task is being processed is exactly what the
dump holds, and so is what it counts later, as long as no task was begun after ours.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import structlog

from agents.drivers.meilisearch.api import MeilisearchApi, Stats, Task
from agents.drivers.meilisearch.archive import DumpContents
from agents.drivers.meilisearch.dump_dir import dump_path, open_dump, require_usable
from agents.drivers.meilisearch.journal import AskedFor, Journal
from agents.drivers.meilisearch.leftovers import clear_leftovers, remove_dump, settle_quietly
from agents.processes import uncancelled
from contracts.errors import RunFailed

log = structlog.get_logger()

PATIENCE_S = 30.0
"""How long Meilisearch may be away while it makes our dump: it goes on after a restart."""
_FIRST_POLL_S: Final = 0.05
_LONGEST_POLL_S: Final = 2.0


@dataclass(kw_only=True)
class MadeDump:
    """A dump that is there to be read."""

    path: Path
    exact: dict[str, int] | None = None
    """The documents by index that it must hold; None when something may have been written before they were counted."""
    contents: DumpContents | None = None
    """Set by who has read it."""

    def remove(self) -> str | None:
        """Why the file is still there; None when it is gone."""
        try:
            remove_dump(self.path)
        except RunFailed as exc:
            return exc.message
        return None


@asynccontextmanager
async def made_dump(api: MeilisearchApi, dump_dir: Path, journal: Journal, *, timeout_s: float) -> AsyncIterator[MadeDump]:
    """The dump, which is removed on leaving.

    Raises: RunFailed `dump.failed`, `engine.*`; InvalidInput `config.invalid` for a `dump_dir` that does not exist.
    """
    require_usable(dump_dir)
    await clear_leftovers(api, dump_dir, journal)
    making = _Making(api, dump_dir, journal, timeout_s)
    try:
        # Not to be interrupted: a task that nobody remembers would leave its dump for ever.
        await uncancelled(making.begin(), name="meilisearch:ask")
        yield await making.finish()
    finally:
        await uncancelled(making.leave(), name="meilisearch:leave")


class _Making:
    """Our task, from its number to the end of its dump."""

    def __init__(self, api: MeilisearchApi, dump_dir: Path, journal: Journal, timeout_s: float) -> None:
        self._api = api
        self._dump_dir = dump_dir
        self._journal = journal
        self._timeout_s = timeout_s
        self._task: AskedFor | None = None
        self._made: MadeDump | None = None
        self._counted: tuple[str | None, Stats] | None = None
        """What was counted while the task was being processed since that time."""

    @property
    def _asked_for(self) -> AskedFor:
        assert self._task is not None, "begin comes first"
        return self._task

    async def begin(self) -> None:
        new = await self._api.create_dump()
        self._remember(AskedFor(task_uid=new.task_uid, enqueued_at=new.enqueued_at))
        log.info("meilisearch.dump_asked_for", task=new.task_uid)

    def _remember(self, asked_for: AskedFor) -> None:
        self._task = asked_for
        self._journal.put(asked_for)

    async def leave(self) -> None:
        """Removes the dump, or has the next run do that; never raises, since the run has its own reason."""
        if self._task is None:
            return
        self._journal.leave(self._task)
        if self._made is not None and self._made.remove() is None:  # needs no Meilisearch, which may have gone down since
            self._journal.drop(self._task)
        else:
            await settle_quietly(self._api, self._dump_dir, self._journal, self._task)
        for asked_for in self._journal.of_others():
            if asked_for.task_uid != self._task.task_uid:
                await settle_quietly(self._api, self._dump_dir, self._journal, asked_for)

    async def finish(self) -> MadeDump:
        task = await self._ended()
        if task.status != "succeeded":
            raise self._failed(task)
        if task.details is None or task.details.dump_uid is None:
            what = f"dump task {task.uid} of Meilisearch at {self._api.url} has succeeded, but does not name its dump"
            raise RunFailed("engine.refused", what)
        path = dump_path(self._dump_dir, task.details.dump_uid)
        os.close(open_dump(path))  # before anything is uploaded: it is there, and may be read
        self._made = MadeDump(path=path)
        self._made.exact = await self._exact_counts(task)
        return self._made

    async def _ended(self) -> Task:
        """The task in its final state.  Raises: RunFailed `dump.failed`, `engine.*`."""
        loop = asyncio.get_running_loop()
        began_at = seen_at = loop.time()
        pause_s = _FIRST_POLL_S
        while True:
            try:
                task = await self._look()
                seen_at = loop.time()
                if task.is_finished:
                    return task
            except RunFailed as exc:
                if exc.code != "engine.unreachable" or loop.time() - seen_at > PATIENCE_S:
                    raise
            if loop.time() - began_at > self._timeout_s:
                raise await self._too_late()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.3, _LONGEST_POLL_S)

    async def _look(self) -> Task:
        task = await self._api.task(self._asked_for.task_uid)
        if task is None or task.enqueued_at != self._asked_for.enqueued_at:
            what = f"Meilisearch at {self._api.url} does not know dump task {self._asked_for.task_uid} any more: was its "
            raise RunFailed("dump.failed", what + "database replaced meanwhile? Back it up again")
        if task.status == "processing" and (self._counted is None or self._counted[0] != task.started_at):
            if not self._asked_for.started_at:
                self._remember(msgspec.structs.replace(self._asked_for, started_at=task.started_at or ""))
            stats = await self._api.stats()
            again = await self._api.task(task.uid)
            if again is not None and again.status == "processing" and again.started_at == task.started_at:
                self._counted = (task.started_at, stats)
        return task

    async def _exact_counts(self, task: Task) -> dict[str, int] | None:
        if self._counted is not None and self._counted[0] == task.started_at:
            return self._counted[1].counts
        stats = await self._api.stats()
        since = await self._api.tasks(afterStartedAt=task.started_at or task.enqueued_at, limit="2")
        later = [each for each in since.results if each.uid != task.uid]
        return None if later else stats.counts

    async def _too_late(self) -> RunFailed:
        running = await self._api.tasks(statuses="processing", limit="1")
        busy = [each for each in running.results if each.uid != self._asked_for.task_uid]
        what = f"Meilisearch at {self._api.url} has not made the dump within {self._timeout_s:g} s"
        if busy:
            what += f": it still works on task {busy[0].uid} ({busy[0].type}), which the dump has to wait for"
        return RunFailed("dump.failed", f"{what}; raise timeout_s of the service, or back up when less is written")

    def _failed(self, task: Task) -> RunFailed:
        where = f"Meilisearch at {self._api.url}"
        if task.status == "canceled":
            by = f" (by task {task.canceled_by})" if task.canceled_by is not None else ""
            return RunFailed("dump.failed", f"somebody cancelled dump task {task.uid} of {where}{by}: back it up again")
        message = task.error.message if task.error is not None else "no reason was given"
        what = f"{where} could not make the dump (task {task.uid}): {message}"
        if (task.error is not None and task.error.code == "no_space_left_on_device") or "space left" in message:
            what += "; a dump needs room for all documents, uncompressed, in the temporary directory of Meilisearch "
            what += "(TMPDIR), and for itself in the directory of its dumps"
        return RunFailed("dump.failed", what)
