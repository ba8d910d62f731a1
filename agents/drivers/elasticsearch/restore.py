"""Restoring one index: loaded under another name, and into its place only when it is whole.

    artifact ─▶ strongroom-restoring-… ─▶ (the old one is kept as strongroom-replaced-…) ─▶ cloned to its name

A clone shares its source's files, so it takes about a second whatever the size; for that long there is no index of the name.
Whatever happens before `finish` returned, leaving puts the old one back, and nothing of the new one stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog

from agents.drivers.base import Confirm
from agents.drivers.elasticsearch.catalogue import look_at_indices
from agents.drivers.elasticsearch.check import require_index_free
from agents.drivers.elasticsearch.cluster import error_type, open_cluster
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.index_settings import HIDDEN
from agents.drivers.elasticsearch.indices import (
    FoundIndex,
    clone_index,
    count_documents,
    delete_index,
    failed,
    find_index,
    health_of,
    put_settings,
    unknown_setting,
)
from agents.drivers.elasticsearch.intake import ScratchIndex
from agents.drivers.elasticsearch.names import leftovers_of, replaced_name
from agents.drivers.http_engine import EngineHttp, EngineRefused, quote_path
from agents.drivers.pipes import PipedRestore, PipeReader, piped_restore
from agents.processes import uncancelled
from contracts.errors import Conflict, RunFailed, StrongroomError
from contracts.records import Attributes

log = structlog.get_logger()

_BLOCK: Final = "index.blocks.write"
_PLACE_TRIES: Final = 20
_EXISTS: Final = "resource_already_exists_exception"


class IndexRestore:
    """What one restore does to the cluster, and how it is undone."""

    def __init__(self, http: EngineHttp, target: str, run_id: str, *, replace: bool, with_aliases: bool) -> None:
        self._http = http
        self._target = target
        self._replace = replace
        self._with_aliases = with_aliases
        self._scratch = ScratchIndex(http, target, run_id)
        self._kept_name = replaced_name(run_id, target)
        self._old: FoundIndex | None = None
        self._blocked = False
        """The old one takes no writes any more."""
        self._kept = False
        """There is a copy of the old one."""
        self._removed = False
        """The name is free, or taken by the new one."""
        self._warnings: list[str] = []

    async def take_in(self, pipe: PipeReader) -> None:
        await self._scratch.take_in(pipe)

    async def place(self) -> Attributes:
        """Raises: Conflict `restore.target_not_empty`, RunFailed `restore.failed`, `engine.*`; `leave` then undoes it."""
        self._old = await require_index_free(self._http, self._target, replace=self._replace)
        aliases = await self._aliases()
        await put_settings(self._http, self._scratch.name, {_BLOCK: True})
        if self._old is not None:
            await self._keep(self._old)
        await self._clone_into_place(aliases)
        found = await count_documents(self._http, self._target)
        if found != self._scratch.documents:
            what = f"index {self._target!r} has {found} documents in its place instead of {self._scratch.documents}"
            raise RunFailed("restore.failed", f"{what}: restore again")
        await self._tell_last_settings()
        log.info("restore.in_place", index=self._target, documents=found, replaced=self._old is not None)
        return {
            "index": self._target,
            "documents": found,
            "replaced": self._old is not None,
            "warnings": [*self._scratch.warnings, *self._warnings],
        }

    async def leave(self, *, finished: bool) -> None:
        """Removes the old index if the restore was finished; puts it back otherwise, and removes everything of the new."""
        if finished:
            await self._done(self._delete_scratch)
            await self._done(self._delete_every_kept)
        elif await self._done(self._put_back):
            await self._done(self._delete_scratch)
            await self._done(self._delete_own_kept)
        elif self._kept:  # it is all that there is of the old one
            await self._done(self._delete_scratch)

    async def _done(self, step: Callable[[], Awaitable[None]]) -> bool:
        try:
            await step()
        except StrongroomError as exc:
            log.error("restore.left_behind", index=self._target, scratch=self._scratch.name, error=str(exc))
            return False
        return True

    async def _keep(self, old: FoundIndex) -> None:
        """A copy of the old index, as it is from now on: nothing is written to it any more."""
        if await health_of(self._http, self._target) == "red":
            self._warnings.append(f"the former index {self._target!r} lacked shards, so it could not be kept until the end")
            return
        try:
            self._blocked = True
            await put_settings(self._http, self._target, {_BLOCK: True})
            lifecycle = {name: None for name in old.settings if name.startswith("index.lifecycle.")}
            hidden = {HIDDEN: True} if HIDDEN in self._scratch.settings.creating else {}
            self._kept = True
            await clone_index(
                self._http,
                self._target,
                self._kept_name,
                settings={**hidden, "index.number_of_replicas": 0, "index.auto_expand_replicas": None, **lifecycle},
                aliases={},
            )
        except EngineRefused as exc:
            raise failed(
                f"the former index {self._target!r} could not be kept until the restored one is whole", exc
            ) from exc

    async def _clone_into_place(self, aliases: dict[str, Any]) -> None:
        for remaining in reversed(range(_PLACE_TRIES)):
            if self._old is not None:
                self._removed = True
                await delete_index(self._http, self._target)
            try:
                self._removed = True
                await clone_index(
                    self._http, self._scratch.name, self._target, settings=self._scratch.settings.placing, aliases=aliases
                )
                return
            except EngineRefused as exc:
                if error_type(exc) == _EXISTS and self._old is not None and remaining:
                    continue  # an application wrote to the name, and the cluster made an index for it
                if remaining and self._scratch.leave_out(unknown_setting(exc)):
                    continue
                if error_type(exc) == _EXISTS:
                    self._removed = self._old is not None
                    what = f"somebody made an index {self._target!r} during the restore: look what it is"
                    raise Conflict("restore.target_not_empty", f"{what}, and restore with --replace to lose it") from exc
                raise failed(f"the restored index {self._target!r} could not take its place", exc) from exc

    async def _aliases(self) -> dict[str, Any]:
        """Of the backup, those that mean the same here."""
        wanted = dict(self._scratch.definition.aliases)
        if not self._with_aliases:
            if wanted:
                names = ", ".join(map(repr, sorted(wanted)))
                self._warnings.append(f"{self._target!r} was restored under a new name, so without the aliases {names}")
            return {}
        for alias, definition in list(wanted.items()):
            found = await find_index(self._http, alias)
            if isinstance(found, FoundIndex):
                del wanted[alias]
                self._warnings.append(f"{self._target!r}: the alias {alias!r} was left out, there is an index of that name")
            elif found and definition.get("is_write_index") and (other := await self._write_index(alias)):
                wanted[alias] = {key: value for key, value in definition.items() if key != "is_write_index"}
                self._warnings.append(f"{self._target!r}: {alias!r} goes on writing to {other!r}, not to the restored index")
        return wanted

    async def _write_index(self, alias: str) -> str:
        """The index that the alias writes to, apart from the one that is replaced."""
        found = await self._http.ask("GET", f"/_alias{quote_path(alias)}")
        for index, about in found.items():
            if index != self._target and about.get("aliases", {}).get(alias, {}).get("is_write_index"):
                return str(index)
        return ""

    async def _tell_last_settings(self) -> None:
        """Also takes the nulls out of its settings that were said to the clone."""
        try:
            await put_settings(self._http, self._target, _nulls(self._scratch.settings.placing))
            await put_settings(self._http, self._target, self._scratch.settings.placed)
        except EngineRefused as exc:
            self._warnings.append(f"{self._target!r}: its settings for where shards go were refused ({exc.message})")

    async def _put_back(self) -> None:
        """The target is as it was before.  Raises: RunFailed when it cannot be."""
        old = self._old
        for remaining in reversed(range(_PLACE_TRIES) if self._removed else ()):
            found = await find_index(self._http, self._target)
            if isinstance(found, FoundIndex):
                if old is not None and found.uuid == old.uuid:
                    break  # it was not removed
                if old is None and found.settings.get("index.resize.source.name") != self._scratch.name:
                    return  # somebody else's, who was quicker
                await delete_index(self._http, self._target)
            if old is None:
                return
            if not self._kept:
                raise RunFailed("restore.failed", "it lacked shards before, and could not be kept; the restored one stays")
            settings = self._old_settings(old)
            try:
                await clone_index(self._http, self._kept_name, self._target, settings=settings, aliases=old.aliases)
            except EngineRefused as exc:
                if error_type(exc) == _EXISTS and remaining:
                    continue  # an application wrote to the name, and the cluster made an index for it
                raise
            await put_settings(self._http, self._target, _nulls(settings))
            return
        if self._blocked and old is not None:
            await put_settings(self._http, self._target, {_BLOCK: old.settings.get(_BLOCK)})

    def _old_settings(self, old: FoundIndex) -> dict[str, Any]:
        changed = [
            _BLOCK,
            *([HIDDEN] if HIDDEN in self._scratch.settings.creating else []),
            "index.number_of_replicas",
            "index.auto_expand_replicas",
        ]
        lifecycle = [name for name in old.settings if name.startswith("index.lifecycle.")]
        return {name: old.settings.get(name) for name in (*changed, *lifecycle)}

    async def _delete_scratch(self) -> None:
        await delete_index(self._http, self._scratch.name)

    async def _delete_own_kept(self) -> None:
        """Not those of attempts that were cut off: one of them may be all that there is of the former index."""
        if self._kept:
            await delete_index(self._http, self._kept_name)

    async def _delete_every_kept(self) -> None:
        """That of this run, and those of runs that were cut off: the target is whole."""
        _, kept = leftovers_of((await look_at_indices(self._http)).unfinished, self._target)
        if kept:
            await delete_index(self._http, *kept)


def _nulls(settings: dict[str, Any]) -> dict[str, None]:
    """What a clone was told not to take from its source, it shows as null until it is told again."""
    return {name: None for name, value in settings.items() if value is None}


@asynccontextmanager
async def start_index_restore(
    connection: ElasticsearchConnection,
    target: str,
    run_id: str,
    *,
    replace: bool,
    with_aliases: bool,
    confirm: Confirm,
) -> AsyncIterator[PipedRestore]:
    """The restore under way."""
    async with open_cluster(connection) as http:
        restore = IndexRestore(http, target, run_id, replace=replace, with_aliases=with_aliases)

        async def place() -> Attributes:
            return await uncancelled(restore.place(), name=f"restore:place:{target}")

        sink: PipedRestore | None = None
        try:
            async with piped_restore(restore.take_in, place, name=target, confirm=confirm) as sink:
                yield sink
        finally:
            finished = sink is not None and sink.is_finished
            await uncancelled(restore.leave(finished=finished), name=f"restore:leave:{target}")
