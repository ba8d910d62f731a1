"""The dump tasks that this agent has asked for and whose files it has not removed yet, on its own disk.

Written before anything else can happen to a task, so that an agent that is killed, or a Meilisearch that is down when a
run ends, leaves a dump that the next run knows to be ours: nobody else's is ever removed.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec
import structlog

from agents.drivers.meilisearch.connection import MeilisearchConnection
from contracts.errors import RunFailed

log = structlog.get_logger()

_ACTIVE: Final[set[tuple[Path, int]]] = set()
"""Of runs of this process that are under way: they clean up themselves."""


class AskedFor(msgspec.Struct, frozen=True, kw_only=True):
    """A dump task of ours."""

    task_uid: int
    enqueued_at: str
    """As Meilisearch printed it: the number alone might name somebody else's task, in a database that was set back."""
    started_at: str = ""
    """When it was first seen to be processed; a Meilisearch that is killed meanwhile begins it again."""


class Journal:
    """The tasks of one instance."""

    def __init__(self, work_dir: Path, connection: MeilisearchConnection) -> None:
        place = hashlib.sha256(f"{connection.url}\n{connection.dump_dir}".encode()).hexdigest()[:16]
        self._path = work_dir / f"meilisearch-dumps-{place}.json"

    def of_others(self) -> list[AskedFor]:
        """Those of runs that have ended."""
        return [each for each in self._read() if (self._path, each.task_uid) not in _ACTIVE]

    def put(self, asked_for: AskedFor) -> None:
        """Also marks the task as that of a run under way, until `leave`.  Raises: RunFailed `dump.failed`."""
        _ACTIVE.add((self._path, asked_for.task_uid))
        try:
            self._write([*(each for each in self._read() if each.task_uid != asked_for.task_uid), asked_for])
        except OSError as exc:
            what = (
                f"{self._path}, in which the agent notes the dumps that it has to remove, cannot be written: {exc.strerror}"
            )
            raise RunFailed("dump.failed", what) from exc

    def leave(self, asked_for: AskedFor) -> None:
        """The run has ended; the entry stays until `drop`."""
        _ACTIVE.discard((self._path, asked_for.task_uid))

    def drop(self, asked_for: AskedFor) -> None:
        """An entry that cannot be dropped does no harm: the next run finds nothing left of its task."""
        try:
            self._write([each for each in self._read() if each.task_uid != asked_for.task_uid])
        except OSError as exc:
            log.warning("meilisearch.journal_kept", path=str(self._path), error=str(exc))

    def _read(self) -> list[AskedFor]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[AskedFor])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError) as exc:  # of no use any more, and no reason to make no backup
            log.warning("meilisearch.journal_lost", path=str(self._path), error=str(exc))
            return []

    def _write(self, entries: list[AskedFor]) -> None:
        if not entries:
            self._path.unlink(missing_ok=True)
            return
        new = self._path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(entries))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path)
