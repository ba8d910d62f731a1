"""Taking an artifact in: an index under another name, loaded and counted, that nobody else knows of."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from agents.drivers.elasticsearch.bulk import Loader, loading
from agents.drivers.elasticsearch.catalogue import look_at_indices
from agents.drivers.elasticsearch.index_settings import HIDDEN, SettingsPlan, plan_settings
from agents.drivers.elasticsearch.indices import (
    FoundIndex,
    count_documents,
    create_index,
    delete_index,
    failed,
    find_index,
    refresh_index,
    unknown_setting,
)
from agents.drivers.elasticsearch.lines import (
    COUNT_MEMBER,
    INDEX_MEMBER,
    Count,
    IndexDefinition,
    is_data,
    parse_document,
    parse_index,
)
from agents.drivers.elasticsearch.names import leftovers_of, scratch_name
from agents.drivers.http_engine import EngineHttp, EngineRefused
from agents.drivers.members import read_members
from agents.drivers.pipes import PipeReader
from contracts.errors import Corrupt, RunFailed

_MOST_UNKNOWN: Final = 50
_OF_STREAMS: Final = ("_data_stream_timestamp", "_tsid")
"""Fields that only indices of data streams may have in their mapping."""


class ScratchIndex:
    """The index that is loaded; `name` says which run makes it."""

    def __init__(self, http: EngineHttp, target: str, run_id: str) -> None:
        self.name = scratch_name(run_id, target)
        self.documents = 0
        self.warnings: list[str] = []
        self.definition = IndexDefinition()
        self.settings: SettingsPlan = plan_settings({})
        self._http = http
        self._target = target
        self._uuid = ""

    async def take_in(self, pipe: PipeReader) -> None:
        """Everything in the artifact is in the index, and counted.

        Raises: Corrupt `artifact.corrupt`; RunFailed `restore.failed`, `engine.*`.
        """
        members = read_members(pipe)
        name, content = await anext(members, ("", b""))
        if name != INDEX_MEMBER:
            raise Corrupt("artifact.corrupt", f"the archive begins with {name!r} instead of {INDEX_MEMBER}")
        self.definition = parse_index(content)
        self.settings = plan_settings(self.definition.settings)
        await self._drop_leftovers()
        await self._create()
        said: int | None = None
        async with loading(self._http, self.name, words=self._target) as loader:
            async for name, content in members:
                if name == COUNT_MEMBER:
                    said = _parse_count(content)
                elif is_data(name):
                    await self._load(loader, name, content)
                else:
                    raise Corrupt("artifact.corrupt", f"the archive has a file that does not belong there: {name!r}")
        await self._count(loader.documents, said)

    async def _drop_leftovers(self) -> None:
        """Of restores to the same target that were cut off with their agent; the copy of a former index stays."""
        unfinished, _ = leftovers_of((await look_at_indices(self._http)).unfinished, self._target)
        if unfinished:
            await delete_index(self._http, *unfinished)

    async def _load(self, loader: Loader, name: str, content: bytes) -> None:
        for line in content.splitlines() if b"\r" in content else content.split(b"\n"):
            if line:
                await loader.add(parse_document(line, name))

    async def _create(self) -> None:
        for _ in range(_MOST_UNKNOWN):
            try:
                body = {"settings": self.settings.creating, "mappings": self._mappings()}
                await create_index(self._http, self.name, body)
                break
            except EngineRefused as exc:
                if not self.leave_out(unknown_setting(exc)):
                    raise failed(f"the cluster refused to make index {self._target!r}", exc) from exc
        found = await find_index(self._http, self.name)
        if isinstance(found, FoundIndex):
            self._uuid = found.uuid
            if found.aliases:  # a template for all indices would have it found by applications before it is whole
                await self._drop_aliases(found)

    def leave_out(self, setting: str) -> bool:
        """Goes on without a setting that this cluster does not know; whether that changes anything."""
        without = self.settings.without(setting)
        if without == self.settings:
            return False
        self.settings = without
        if setting != HIDDEN:
            self.warnings.append(f"{self._target!r}: this cluster does not know the setting {setting}, left out")
        return True

    async def _drop_aliases(self, found: FoundIndex) -> None:
        actions = [{"remove": {"index": self.name, "alias": alias}} for alias in found.aliases]
        await self._http.send("POST", "/_aliases", json={"actions": actions})

    def _mappings(self) -> Any:
        """Letter by letter, but for what only a data stream's index may have."""
        raw = bytes(self.definition.mappings)
        if not any(field.encode() in raw for field in _OF_STREAMS):
            return self.definition.mappings
        mappings = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        return {name: value for name, value in mappings.items() if name not in _OF_STREAMS}

    async def _count(self, read: int, said: int | None) -> None:
        if said is not None and said != read:
            raise Corrupt("artifact.corrupt", f"the artifact says that it has {said} documents, and has {read}")
        await refresh_index(self._http, self.name)
        there = await find_index(self._http, self.name)
        if not isinstance(there, FoundIndex) or there.uuid != self._uuid:
            raise RunFailed(
                "restore.failed",
                f"the index that {self._target!r} was loaded into was deleted meanwhile: is another restore of it under "
                "way? Let one of them end, and restore again",
            )
        found = await count_documents(self._http, self.name)
        if found != read:
            raise RunFailed(
                "restore.failed",
                f"{read} documents of {self._target!r} were loaded, and the cluster finds {found}: two in the artifact may "
                "have the same _id",
            )
        self.documents = read


def _parse_count(content: bytes) -> int:
    try:
        return msgspec.json.decode(content, type=Count).documents
    except msgspec.DecodeError as exc:
        raise Corrupt("artifact.corrupt", f"{COUNT_MEMBER} cannot be understood: {exc}") from exc
