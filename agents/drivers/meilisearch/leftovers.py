"""Removing what dump tasks of ours have left: the file of one that was done, or a part of one that failed."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path
from typing import Final

import structlog

from agents.drivers.meilisearch.api import MeilisearchApi, Task, moment
from agents.drivers.meilisearch.dump_dir import dump_path, dumps_begun_between
from agents.drivers.meilisearch.journal import AskedFor, Journal
from contracts.errors import RunFailed, StrongroomError

log = structlog.get_logger()

CANCEL_S = 5.0
"""In which a dump that is being made ends: Meilisearch looks for that between any two documents.  One that still waits for
another task is cancelled only after that, which the next run will find."""
_SETTLE_S: Final = 25.0
"""For all of the clean-up of one task: a run that was cancelled waits for it."""
_POLL_S: Final = 0.05
_MILLISECOND: Final = timedelta(milliseconds=1)
"""Names of dumps are cut to these."""


async def clear_leftovers(api: MeilisearchApi, dump_dir: Path, journal: Journal) -> None:
    """Of former runs.  What cannot be removed yet stays in the journal.  Raises: RunFailed `engine.*`."""
    for asked_for in journal.of_others():
        await settle(api, dump_dir, journal, asked_for)


async def settle(api: MeilisearchApi, dump_dir: Path, journal: Journal, asked_for: AskedFor) -> None:
    """Ends the task, if that is allowed, and removes its files; forgets it when there is nothing more to do."""
    task = await _ended(api, asked_for)
    if task is None:
        log.warning("meilisearch.dump_forgotten", task=asked_for.task_uid, reason="Meilisearch does not know the task")
    elif not task.is_finished:
        log.warning("meilisearch.dump_left", task=asked_for.task_uid, reason="the task has not ended: the next run looks")
        return
    else:
        for path in await _files_of(api, dump_dir, asked_for, task):
            remove_dump(path)
    journal.drop(asked_for)


def remove_dump(path: Path) -> None:
    """Does nothing when it is gone already.  Raises: RunFailed `engine.permission`."""
    try:
        path.unlink()
    except FileNotFoundError:
        return
    except OSError as exc:
        what = f"the dump {path} is still there and cannot be removed ({exc.strerror}): let the agent's user write in its "
        raise RunFailed("engine.permission", what + "directory, or it fills up") from exc
    log.info("meilisearch.dump_removed", path=str(path))


async def _ended(api: MeilisearchApi, asked_for: AskedFor) -> Task | None:
    """The task, cancelled if it was not finished; None when it is not to be found."""
    task = await _find(api, asked_for)
    if task is None or task.is_finished or not await api.cancel(task.uid):
        return task
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CANCEL_S):
            while task is not None and not task.is_finished:
                await asyncio.sleep(_POLL_S)
                task = await _find(api, asked_for)
    return task


async def _find(api: MeilisearchApi, asked_for: AskedFor) -> Task | None:
    task = await api.task(asked_for.task_uid)
    is_ours = task is not None and task.type == "dumpCreation" and task.enqueued_at == asked_for.enqueued_at
    return task if is_ours else None


async def _files_of(api: MeilisearchApi, dump_dir: Path, asked_for: AskedFor, task: Task) -> list[Path]:
    """A task that failed does not tell the name of what it left, but only one dump is made at any time."""
    found: list[Path] = []
    if task.details is not None and task.details.dump_uid is not None:
        found.append(dump_path(dump_dir, task.details.dump_uid))
    since = asked_for.started_at or task.started_at
    if since is None or task.finished_at is None:
        return found  # cancelled before it began
    begun = dumps_begun_between(dump_dir, moment(since) - _MILLISECOND, moment(task.finished_at))
    if candidates := [path for path in begun if path not in found]:
        others = await api.tasks(types="dumpCreation", limit="1000", afterFinishedAt=_shortly_before(since))
        done = [each.details for each in others.results if each.details is not None and each.uid != task.uid]
        theirs = {f"{details.dump_uid}.dump" for details in done}
        found += [path for path in candidates if path.name not in theirs]
    return found


def _shortly_before(time: str) -> str:
    return (moment(time) - _MILLISECOND).isoformat().replace("+00:00", "Z")


async def settle_quietly(api: MeilisearchApi, dump_dir: Path, journal: Journal, asked_for: AskedFor) -> None:
    """For the end of a run, which has another reason already: an error is logged, and the journal keeps the task."""
    try:
        async with asyncio.timeout(_SETTLE_S):
            await settle(api, dump_dir, journal, asked_for)
    except TimeoutError:
        log.warning("meilisearch.dump_left", task=asked_for.task_uid, reason=f"no answer within {_SETTLE_S:g} s")
    except StrongroomError as exc:
        log.warning("meilisearch.dump_left", task=asked_for.task_uid, code=exc.code, reason=exc.message)
