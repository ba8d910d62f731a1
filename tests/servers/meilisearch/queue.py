"""The task queue: one task at a time, in the program's order of precedence, each with its result in its view."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Final

from tests.servers.meilisearch.control import FAIL_DUMPS, HOLD_DUMPS, HOLD_WRITES, LOSE_DOCUMENTS, Control
from tests.servers.meilisearch.dumps import StopDump, write_dump
from tests.servers.meilisearch.errors import ApiError
from tests.servers.meilisearch.options import Options
from tests.servers.meilisearch.store import Store, now
from tests.servers.meilisearch.writes import apply_write

KIND_NAMES: Final = {
    "documentImport": "documentAdditionOrUpdate",
    "documentDeletion": "documentDeletion",
    "documentClear": "documentDeletion",
    "settings": "settingsUpdate",
    "indexCreation": "indexCreation",
    "indexUpdate": "indexUpdate",
    "indexDeletion": "indexDeletion",
    "taskCancelation": "taskCancelation",
    "tasksDeletion": "taskDeletion",
    "dumpCreation": "dumpCreation",
}
"""By the name that dumps use: the `type` that the API shows."""
UNFINISHED: Final = frozenset({"enqueued", "processing"})
_PRECEDENCE: Final = ("taskCancelation", "taskDeletion", "dumpCreation")
"""These go before everything else that waits; among cancelations the newest goes first."""
_POLL_S: Final = 0.01


class Queue:
    """The tasks of one server; `run` works on them until it is cancelled."""

    def __init__(self, store: Store, options: Options, control: Control, instance_uid: str) -> None:
        self._store = store
        self._options = options
        self._control = control
        self._instance_uid = instance_uid
        self._wake = asyncio.Event()
        self._processing: int | None = None
        self._must_stop = False
        for view in store.tasks():
            if view["status"] == "processing":  # when the server was killed: it is done again
                store.change_task(view["uid"], status="enqueued", startedAt=None, batchUid=None)

    def register(self, kind: dict[str, Any], index_uid: str | None = None, **details: Any) -> dict[str, Any]:
        """The answer to a request that makes a task."""
        uid = self._store.next_task_uid()
        view = {
            "uid": uid,
            "batchUid": None,
            "indexUid": index_uid,
            "status": "enqueued",
            "type": KIND_NAMES[next(iter(kind))],
            "canceledBy": None,
            "details": details or None,
            "error": None,
            "duration": None,
            "enqueuedAt": now(),
            "startedAt": None,
            "finishedAt": None,
        }
        self._store.put_task(view, kind)
        if view["type"] == "taskCancelation" and self._processing in kind["taskCancelation"]["tasks"]:
            self._must_stop = True
        self._wake.set()
        return {
            "taskUid": uid,
            "indexUid": index_uid,
            "status": "enqueued",
            "type": view["type"],
            "enqueuedAt": view["enqueuedAt"],
        }

    async def run(self) -> None:
        while True:
            self._wake.clear()
            view = self._next()
            if view is None:
                await self._wake.wait()
                continue
            await self._process(view)

    def _next(self) -> dict[str, Any] | None:
        waiting = [view for view in self._store.tasks() if view["status"] == "enqueued"]
        for kind in _PRECEDENCE:
            of_kind = [view for view in waiting if view["type"] == kind]
            if of_kind:
                return of_kind[-1] if kind == "taskCancelation" else of_kind[0]
        return waiting[0] if waiting else None

    async def _process(self, view: dict[str, Any]) -> None:
        uid, started_at = view["uid"], datetime.now(UTC)
        self._processing, self._must_stop = uid, False
        self._store.change_task(uid, status="processing", startedAt=now(), batchUid=uid)
        changes: dict[str, Any]
        try:
            changes = {"status": "succeeded", "details": await self._work(view)}
        except StopDump:  # back into the queue, where the cancelation finds it
            self._store.change_task(uid, status="enqueued", startedAt=None, batchUid=None)
            return
        except ApiError as exc:
            changes = {"status": "failed", "error": exc.body}
        finally:
            self._processing = None
        duration = (datetime.now(UTC) - started_at).total_seconds()
        self._store.change_task(uid, **changes, finishedAt=now(), duration=f"PT{duration:.6f}S")
        (self._store.update_files / f"{uid}.jsonl").unlink(missing_ok=True)

    async def _work(self, view: dict[str, Any]) -> dict[str, Any] | None:
        """The task's details.  Raises: ApiError, StopDump."""
        kind = self._store.task_kind(view["uid"])
        name = next(iter(kind))
        if name == "dumpCreation":
            return await self._dump(view, kind[name])
        if name == "taskCancelation":
            return self._cancel(view, kind[name])
        if name == "tasksDeletion":
            return self._delete(view, kind[name])
        await self._hold(HOLD_WRITES)
        return apply_write(self._store, view, name, kind[name])

    async def _hold(self, name: str) -> None:
        while self._control.is_set(name):
            if self._must_stop:
                raise StopDump
            await asyncio.sleep(_POLL_S)

    async def _dump(self, view: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
        await self._hold(HOLD_DUMPS)
        features = json.loads(self._store.meta("features", "{}"))

        def write() -> str:
            own = Store(self._store.path)  # a thread's own connection
            try:
                return write_dump(
                    own,
                    self._options.dump_dir,
                    view["uid"],
                    version=self._options.version,
                    keys=kind["keys"],
                    instance_uid=self._instance_uid,
                    features=features,
                    stop=lambda: self._must_stop,
                    lose_documents=self._control.is_set(LOSE_DOCUMENTS),
                    break_off=self._control.is_set(FAIL_DUMPS),
                )
            finally:
                own.close()

        try:
            return {"dumpUid": await asyncio.to_thread(write)}
        except OSError as exc:
            raise ApiError("no_space_left_on_device", f"{exc.strerror} (os error {exc.errno})") from exc

    def _cancel(self, view: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
        cancelled = 0
        for uid in kind["tasks"]:
            task = self._store.task(uid)
            if task is not None and task["status"] == "enqueued":
                self._store.change_task(uid, status="canceled", canceledBy=view["uid"], finishedAt=now())
                cancelled += 1
        return {**view["details"], "canceledTasks": cancelled}

    def _delete(self, view: dict[str, Any], kind: dict[str, Any]) -> dict[str, Any]:
        deleted = 0
        for uid in kind["tasks"]:
            task = self._store.task(uid)
            if task is not None and task["status"] not in UNFINISHED:
                self._store.delete_task(uid)
                deleted += 1
        return {**view["details"], "deletedTasks": deleted}
