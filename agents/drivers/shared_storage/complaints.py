"""What tar says on standard error, understood as it comes: which files it means, and how bad that is.

However much it says, only some names of each sort are kept.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from agents.drivers.shared_storage.names import from_tar

MAX_NAMES: Final = 50
_MAX_LINE_BYTES: Final = 32 * 1024
"""A path of 4096 bytes takes four times that when every byte is escaped."""
_MAX_OTHER: Final = 300

CHANGED: Final = "changed"
REMOVED: Final = "removed"
SHRUNK: Final = "shrunk"
SOCKET: Final = "socket"
IGNORED: Final = "ignored"
MOUNTED: Final = "mounted"
DENIED: Final = "denied"
UNREADABLE: Final = "unreadable"
NOT_FOUND: Final = "not found"
LINK_MISSING: Final = "link missing"
OTHER: Final = "other"

_SORTS: Final = (
    (CHANGED, r"file changed as we read it"),
    (REMOVED, r"File removed before we read it"),
    (SHRUNK, r"File shrank by \d+ bytes?; padding with zeros"),
    (SOCKET, r"socket ignored"),
    (IGNORED, r"(?:door ignored|Unknown file type; file ignored)"),
    (MOUNTED, r"file is on a different filesystem; not dumped"),
    (DENIED, r"Cannot (?:open|stat|savedir|readlink|[a-z]+): (?:Permission denied|Operation not permitted)"),
    (UNREADABLE, r"(?:Cannot (?:open|stat|savedir|read|readlink|close|seek).*|Read error at byte \d+.*)"),
    (NOT_FOUND, r"Not found in archive"),
    (LINK_MISSING, r"Cannot hard link to .*: No such file or directory"),
)
_LINES: Final = [(sort, re.compile(rf"(.*): ({text})")) for sort, text in _SORTS]
_SUMMARY: Final = ("Exiting with failure status due to previous errors", "Error is not recoverable: exiting now")


@dataclass
class Named:
    """The files that one sort of complaint was about."""

    count: int = 0
    names: list[str] = field(default_factory=list)
    """The first of them."""
    words: str = ""
    """What tar said of the first."""

    @property
    def text(self) -> str:
        """`a, b and 3 more`."""
        listed = ", ".join(self.names)
        more = self.count - len(self.names)
        return f"{listed} and {more} more" if more else listed


class Complaints:
    """Collects them; see `hear`."""

    def __init__(self, program: str, *, max_names: int = MAX_NAMES) -> None:
        self._max_names = max_names
        self._start = f"{program}: "
        self._unfinished = bytearray()
        self._skipping = False
        self._sorts: dict[str, Named] = {}

    def __getitem__(self, sort: str) -> Named:
        return self._sorts.get(sort, Named())

    def only(self, sort: str) -> bool:
        """Whether there are complaints, all of that sort."""
        return self._sorts.keys() == {sort}

    def hear(self, data: bytes) -> None:
        """Takes the next piece of standard error."""
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._unfinished += line
            if not self._skipping:
                self._understand(bytes(self._unfinished).decode("utf-8", "replace"))
            self._unfinished.clear()
            self._skipping = False
        self._unfinished += rest
        if len(self._unfinished) > _MAX_LINE_BYTES:
            self._unfinished.clear()
            self._skipping = True

    def _understand(self, line: str) -> None:
        text = line.removeprefix(self._start).strip()
        if not text or text in _SUMMARY:
            return
        for sort, expression in _LINES:
            if match := expression.fullmatch(text):
                self._note(sort, from_tar(match[1].removeprefix("./")), match[2])
                return
        self._note(OTHER, text[:_MAX_OTHER], text[:_MAX_OTHER])

    def _note(self, sort: str, name: str, words: str) -> None:
        named = self._sorts.setdefault(sort, Named())
        named.count += 1
        named.words = named.words or words
        if len(named.names) < self._max_names:
            named.names.append(name)
