"""Restoring what belongs to no index: all of it or nothing.

What the cluster has under the same name and in the same words is left alone, and so is what the backup does not have.
Persistent settings of the cluster are in the artifact and are not applied: they say which nodes there were, and what was
switched off that night.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import structlog

from agents.drivers.base import Confirm
from agents.drivers.elasticsearch.catalogue import listed
from agents.drivers.elasticsearch.cluster import ABSENT, open_cluster
from agents.drivers.elasticsearch.cluster_dump import read_part
from agents.drivers.elasticsearch.connection import ElasticsearchConnection
from agents.drivers.elasticsearch.indices import failed
from agents.drivers.elasticsearch.metadata import (
    ABSENT_MEMBER,
    PARTS,
    SETTINGS_MEMBER,
    Objects,
    Part,
    is_managed,
    parse_member,
    parse_part,
)
from agents.drivers.http_engine import EngineHttp, EngineRefused, quote_path
from agents.drivers.members import read_members
from agents.drivers.pipes import PipedRestore, PipeReader, piped_restore
from agents.processes import uncancelled
from contracts.errors import Conflict, Corrupt, StrongroomError
from contracts.records import Attributes

log = structlog.get_logger()

_ISM = "/_plugins/_ism/policies"


class _Versioned(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that may only be changed by whoever knows its last change."""

    seq_no: int = msgspec.field(name="_seq_no")
    primary_term: int = msgspec.field(name="_primary_term")


class ClusterRestore:
    """What one restore does to the cluster, and how it is undone."""

    def __init__(self, http: EngineHttp, *, replace: bool) -> None:
        self._http = http
        self._replace = replace
        self._wanted: list[tuple[Part, Objects]] = []
        self._settings: dict[str, Any] = {}
        self._undo: list[tuple[Part, str, Any]] = []
        """What was there before each change, None for nothing; in the order of the changes."""
        self._warnings: list[str] = []

    async def take_in(self, pipe: PipeReader) -> None:
        """Raises: Corrupt `artifact.corrupt`."""
        found: dict[str, Objects] = {}
        async for name, content in read_members(pipe):
            if (part := parse_member(name, content)) is not None:
                found[part[0].member] = part[1]
            elif name == SETTINGS_MEMBER:
                self._settings = _persistent(content)
            elif name != ABSENT_MEMBER:
                raise Corrupt("artifact.corrupt", f"the archive has a file that does not belong there: {name!r}")
        self._wanted = [(part, found[part.member]) for part in PARTS if part.member in found]

    async def place(self) -> Attributes:
        """Raises: Conflict `restore.target_not_empty`, RunFailed `restore.failed`, `engine.*`; `leave` then undoes it."""
        changes: list[tuple[Part, str, Any, Any]] = []
        for part, wanted in self._wanted:
            changes += await self._changes(part, wanted)
        if (taken := [f"{part.words} {name!r}" for part, name, old, _ in changes if old is not None]) and not self._replace:
            raise Conflict(
                "restore.target_not_empty",
                f"{', '.join(taken[:10])}{' and more' if len(taken) > 10 else ''}: here in other words than in the backup. "
                "Restore with --replace to have the backup's, or restore the indices alone (--artifact)",
            )
        for part, name, old, new in changes:
            self._undo.append((part, name, old))
            try:
                await self._put(part, name, new)
            except EngineRefused as exc:
                raise failed(f"the cluster refused the {part.words} {name!r}", exc) from exc
        if self._settings:
            names = ", ".join(sorted(self._settings)[:20])
            self._warnings.append(f"persistent settings of the cluster are never applied; the backup has {names}")
        return {"objects": len(changes), "replaced": bool(taken), "warnings": self._warnings}

    async def leave(self, *, finished: bool) -> None:
        if finished:
            return
        for part, name, old in reversed(self._undo):
            try:
                if old is None:
                    await self._delete(part, name)
                else:
                    await self._put(part, name, old)
            except StrongroomError as exc:
                log.error("restore.left_behind", what=part.words, name=name, error=str(exc))

    async def _changes(self, part: Part, wanted: Objects) -> list[tuple[Part, str, Any, Any]]:
        """(part, name, what is there, what shall be there)."""
        if not wanted:
            return []
        answer = await read_part(self._http, part)
        if answer is None and part.path in ("/_ilm/policy", _ISM):
            what = f"this cluster knows no {part.words} ({part.path})"
            self._warnings.append(f"{what}; left out: {listed(wanted)}")
            return []
        there = parse_part(part, answer) if answer is not None else {}
        return [
            (part, name, there.get(name), body)
            for name, body in wanted.items()
            if there.get(name) != body and not (name in there and is_managed(name, there[name]))
        ]

    async def _put(self, part: Part, name: str, body: Any) -> None:
        path = f"{part.path}{quote_path(name)}"
        params: dict[str, str] = {}
        if part.path == _ISM and (known := await self._version(path)) is not None:
            params = {"if_seq_no": str(known.seq_no), "if_primary_term": str(known.primary_term)}
        await self._http.send("PUT", path, json=body, params=params)

    async def _delete(self, part: Part, name: str) -> None:
        try:
            await self._http.send("DELETE", f"{part.path}{quote_path(name)}")
        except EngineRefused as exc:
            if exc.status not in ABSENT:
                raise

    async def _version(self, path: str) -> _Versioned | None:
        try:
            return await self._http.ask("GET", path, type=_Versioned)
        except EngineRefused as exc:
            if exc.status == 404:
                return None
            raise


def _persistent(content: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, Any]).get("persistent") or {}
    except msgspec.DecodeError as exc:
        raise Corrupt("artifact.corrupt", f"{SETTINGS_MEMBER} cannot be understood: {exc}") from exc


@asynccontextmanager
async def start_cluster_restore(
    connection: ElasticsearchConnection, name: str, *, replace: bool, confirm: Confirm
) -> AsyncIterator[PipedRestore]:
    """The restore under way."""
    async with open_cluster(connection) as http:
        restore = ClusterRestore(http, replace=replace)

        async def place() -> Attributes:
            return await uncancelled(restore.place(), name=f"restore:place:{name}")

        sink: PipedRestore | None = None
        try:
            async with piped_restore(restore.take_in, place, name=name, confirm=confirm) as sink:
                yield sink
        finally:
            finished = sink is not None and sink.is_finished
            await uncancelled(restore.leave(finished=finished), name=f"restore:leave:{name}")
