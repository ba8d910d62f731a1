"""A dump by mariadb-dump, cut as it flows: tables, data and triggers first; then events; then routines and views.

    … tables, data, triggers …  │  -- Dumping events for database  │  -- Dumping routines for database  … views

The first part goes into the scratch database at once.  The others are kept, because events would begin to run there, and
because routines and views may only be understood where they belong.  Data hold no line breaks (mariadb-dump escapes them),
so what looks like the mark of a part is one.  Pure but for the files that the kept parts go to.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from agents.drivers.mariadb.dump import missing_dump_mark
from agents.drivers.mariadb.quoting import quote_identifier

SANDBOX_LINE: Final = b"/*M!999999\\- enable the sandbox mode */"
"""Forbids the client to leave the database for files and programs; clients that do not know it stop there."""
_EVENTS: Final = b"\n-- Dumping events for database "
_ROUTINES: Final = b"\n-- Dumping routines for database "
_VIEW: Final = b"\n--\n-- Final view structure for view "
_TRIGGER: Final = b"\nDELIMITER ;;\n/*!50003 CREATE"
_NAME: Final = rb"(?:`(?:[^`]|``)+`|[^\s`.;*/]+)"
_TRIGGER_HEAD: Final = re.compile(
    rb"(MARK(?:\*/ /\*!\d+ DEFINER=NAME(?:@NAME)?\*/ /\*!\d+)?\s+TRIGGER\s+(?:IF\s+NOT\s+EXISTS\s+)?)(?:NAME\s*\.\s*)?"
    rb"(NAME\s+(?:BEFORE|AFTER)\s+(?:INSERT|UPDATE|DELETE)\s+ON\s+)(?:NAME\s*\.\s*)?(?=NAME\s+FOR\s+EACH\s)".replace(
        b"NAME", _NAME
    ).replace(b"MARK", re.escape(_TRIGGER)),
    re.IGNORECASE,
)
_LONGEST_TRIGGER_HEAD: Final = 8 * 1024
_TAIL_BYTES: Final = 1024
_MEMORY_BYTES: Final = 1024 * 1024
_COPY_BYTES: Final = 256 * 1024
_LONGEST_COLUMN_LINE: Final = 256 * 1024


class DumpSplitter:
    """Fed with the dump's bytes; gives those that can be executed at once, and keeps the rest."""

    def __init__(self, work_dir: Path, *, knows_sandbox: bool, rename: tuple[str, str] | None = None) -> None:
        """`rename`: (old, new) database in the defaults of columns that come from sequences."""
        self._knows_sandbox = knows_sandbox
        self._rename = _Renaming(*rename) if rename else None
        self._triggers = _Unqualified()
        self._held = b""
        self._stage = 0
        self._begun = False
        self._size = 0
        self._tail = b""
        self._files: list[IO[bytes]] = [
            tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES, dir=str(work_dir))  # noqa: SIM115 -- closed on leaving
            for _ in range(2)
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for file in self._files:
            file.close()

    def feed(self, data: bytes) -> bytes:
        """What can be executed now."""
        self._size += len(data)
        self._tail = (self._tail + data[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        data = self._held + data
        self._held = b""
        if not self._begun:
            if len(data) < _TAIL_BYTES:
                self._held = data
                return b""
            data = self._begin(data)
        return self._pass(data, last=False)

    def end(self) -> bytes:
        """What remains to be executed, after the last byte."""
        data, self._held = self._held, b""
        if not self._begun:
            data = self._begin(data)
        return self._pass(data, last=True)

    def missing(self) -> str:
        """Why this was no whole dump; empty when it was."""
        return missing_dump_mark(self._size, self._tail) or ("" if self._stage == 2 else "it has no part for routines")

    def events(self) -> Iterator[bytes]:
        return _read(self._files[0])

    def routines(self) -> bytes:
        return self._routines_and_views()[0]

    def views(self) -> list[bytes]:
        """One script for each."""
        return self._routines_and_views()[1:]

    def _routines_and_views(self) -> list[bytes]:
        first, *others = b"".join(_read(self._files[1])).split(_VIEW)
        return [first, *(_VIEW + other for other in others)]

    def _begin(self, data: bytes) -> bytes:
        self._begun = True
        if data.startswith(SANDBOX_LINE) and not self._knows_sandbox:
            return data.partition(b"\n")[2]
        return data

    def _pass(self, data: bytes, *, last: bool) -> bytes:
        out = b""
        while self._stage < 2:
            mark = (_EVENTS, _ROUTINES)[self._stage]
            at = data.find(mark)
            if at < 0:
                keep = 0 if last else len(mark) - 1
                ready, self._held = (data[:-keep], data[-keep:]) if keep else (data, b"")
                return out + self._emit(ready, last=last)
            out += self._emit(data[: at + 1], last=True)
            data = data[at + 1 :]
            self._stage += 1
        return out + self._emit(data, last=last)

    def _emit(self, data: bytes, *, last: bool) -> bytes:
        if self._stage == 0:
            data = self._triggers.feed(data, last=last)
            return self._rename.feed(data, last=last) if self._rename else data
        self._files[self._stage - 1].write(data)
        return b""


class _Unqualified:
    """Takes the database's name out of ``TRIGGER `shop`.`audit` AFTER INSERT ON `shop`.`orders` FOR EACH ROW``.

    Triggers are dumped in their authors' words: with that name they would be made at the target already, or not at all."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes, *, last: bool) -> bytes:
        data = self._held + data
        out, begin = [], 0
        while (at := data.find(_TRIGGER, begin)) >= 0:
            head = data[at : at + _LONGEST_TRIGGER_HEAD]
            found = _TRIGGER_HEAD.match(head)
            if found is None and len(head) < _LONGEST_TRIGGER_HEAD and not last:
                break
            out += [data[begin:at], found[1] + found[2] if found else _TRIGGER]
            begin = at + (found.end() if found else len(_TRIGGER))
        if at < 0:
            at = len(data) if last else max(begin, len(data) - len(_TRIGGER) + 1)
        self._held = data[at:]
        return b"".join((*out, data[begin:at]))


class _Renaming:
    """Replaces a database's name in ``DEFAULT nextval(`old`.`ids`)``, in lines that define a column and nowhere else."""

    def __init__(self, old: str, new: str) -> None:
        name = re.escape(quote_identifier(old).encode())
        self._pattern = re.compile(rb"(?m)^(  `[^\n]*?\b(?:nextval|lastval)\()" + name + rb"(?=\.`)", re.IGNORECASE)
        self._new = quote_identifier(new).encode()
        self._held = b""
        self._inside_line = False

    def feed(self, data: bytes, *, last: bool) -> bytes:
        data = self._held + data
        self._held = b""
        out = b""
        if self._inside_line:
            line, newline, data = data.partition(b"\n")
            out = line + newline
            if not newline:
                return out
            self._inside_line = False
        cut = len(data) if last else data.rfind(b"\n") + 1
        whole, rest = data[:cut], data[cut:]
        if len(rest) > _LONGEST_COLUMN_LINE:  # data, which may have lines of any length
            self._inside_line = True
            return out + self._replace(whole) + rest
        self._held = rest
        return out + self._replace(whole)

    def _replace(self, data: bytes) -> bytes:
        return self._pattern.sub(lambda found: found[1] + self._new, data)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while part := file.read(_COPY_BYTES):
        yield part
