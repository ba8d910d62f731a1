"""Snapshots of ours on nodes, noted on this host for as long as they are there.

A note is written before the server is asked for a snapshot and removed when that is gone, so that whatever happens to this
process the next run finds and removes what was left, and never anybody else's.
"""

from __future__ import annotations

import calendar
import errno
import re
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import structlog

from agents.drivers.http_engine import EngineRefused
from agents.drivers.qdrant.answers import Snapshot
from agents.drivers.qdrant.node import Node
from contracts.errors import RunFailed

log = structlog.get_logger()

_PATTERN: Final = "qdrant-snapshot-*.json"
_STAMP: Final = re.compile(r"-(\d+)-(\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d)\.snapshot$")
_STAMP_FORMAT: Final = "%Y-%m-%d-%H-%M-%S"
_SKEW_S: Final = 120.0
"""How far the clocks of node and host may differ."""
_DAY_S: Final = 86_400.0
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class _Note(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    collection: str
    asked_at: float
    """Unix time."""
    known: list[str] = []
    """Snapshots that were there before, and so are not ours."""
    name: str = ""
    """Empty until the server has told it."""


_in_use: Final[set[Path]] = set()
"""Notes of snapshots that runs of this agent are making or fetching at the moment, of whatever service."""


class Leftover:
    """A snapshot of ours that is, or may be, on a node."""

    def __init__(self, path: Path, note: _Note) -> None:
        self._path = path
        self._note = note

    @property
    def url(self) -> str:
        return self._note.url

    @property
    def collection(self) -> str:
        return self._note.collection

    @property
    def name(self) -> str:
        return self._note.name

    def named(self, name: str) -> None:
        """The server has told the name."""
        self._note = msgspec.structs.replace(self._note, name=name)
        self._write()

    def gone(self) -> None:
        self._path.unlink(missing_ok=True)
        self.release()

    def claim(self) -> None:
        """It is in use: other runs are to leave it alone."""
        _in_use.add(self._path)

    def release(self) -> None:
        """Whatever is still there of it may be removed by any run."""
        _in_use.discard(self._path)

    def ours_among(self, snapshots: Iterable[Snapshot]) -> list[Snapshot]:
        """Those that were not there before, and whose names say that they were begun when we asked."""
        return [each for each in snapshots if each.name not in self._note.known and self._is_of_then(each.name)]

    @property
    def is_old(self) -> bool:
        """Whether a snapshot that was asked for then would be there by now."""
        return time.time() - self._note.asked_at > _DAY_S

    def _is_of_then(self, name: str) -> bool:
        match = _STAMP.search(name)
        if match is None:
            return False
        begun = calendar.timegm(time.strptime(match[2], _STAMP_FORMAT))
        return abs(begun - self._note.asked_at) <= _SKEW_S

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_bytes(msgspec.json.encode(self._note))
            temporary.rename(self._path)
        except OSError as exc:
            temporary.unlink(missing_ok=True)
            what = f"the snapshot of collection {self._note.collection!r} could not be noted in {self._path.parent}"
            raise RunFailed("spool.full" if exc.errno in _NO_ROOM else "agent.internal", f"{what}: {exc.strerror}") from exc


def note_snapshot(work_dir: Path, url: str, collection: str, *, known: Iterable[str] = (), name: str = "") -> Leftover:
    """Written before the node is asked for it."""
    note = _Note(url=url, collection=collection, asked_at=time.time(), known=sorted(known), name=name)
    leftover = Leftover(work_dir / f"qdrant-snapshot-{secrets.token_hex(8)}.json", note)
    leftover._write()  # noqa: SLF001 - of the same module
    return leftover


def noted_snapshots(work_dir: Path, urls: Iterable[str]) -> Iterator[Leftover]:
    """Of these nodes, those that are noted and not in use."""
    for path in sorted(set(work_dir.glob(_PATTERN)) - _in_use):
        try:
            note = msgspec.json.decode(path.read_bytes(), type=_Note)
        except (OSError, msgspec.DecodeError) as exc:
            log.warning("qdrant.note_unreadable", path=str(path), reason=str(exc))
            continue
        if note.url in urls:
            yield Leftover(path, note)


async def remove_leftovers(work_dir: Path, nodes: list[Node]) -> list[str]:
    """Removes what former runs have left on the nodes; warnings of what could not be."""
    by_url = {node.url: node for node in nodes}
    warnings = []
    for leftover in list(noted_snapshots(work_dir, by_url)):
        try:
            if (warning := await _remove(by_url[leftover.url], leftover)) is not None:
                warnings.append(warning)
        except RunFailed as exc:
            what = f"{leftover.name or 'a snapshot'} of collection {leftover.collection!r} on {leftover.url}"
            warnings.append(f"{what}, left by an earlier run, could not be removed: {exc.message}")
    return warnings


async def _remove(node: Node, leftover: Leftover) -> str | None:
    try:
        found = await node.snapshots(leftover.collection)
    except EngineRefused as exc:
        if exc.status != 404:
            raise
        leftover.gone()  # with its collection: no request can reach it any more
        return None
    if not leftover.name:
        candidates = leftover.ours_among(found)
        if len(candidates) > 1:
            names = ", ".join(each.name for each in candidates)
            return (
                f"one of the snapshots {names} of collection {leftover.collection!r} on {node.url} was left by a backup "
                "that was cut off: remove it there, since it cannot be told from here which"
            )
        if not candidates:
            if leftover.is_old:
                leftover.gone()
            return None
        leftover.named(candidates[0].name)
    await node.delete_snapshot(leftover.collection, leftover.name)
    leftover.gone()
    log.info("qdrant.leftover_removed", collection=leftover.collection, snapshot=leftover.name, node=node.url)
    return None
