"""What tar has put into the archive, counted as it goes: in a tree that lives, a look beforehand is never exact.

Tar writes each entry's name into a pipe, in the order of the names: a directory ends with a slash, a name has no line break.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from agents.drivers.shared_storage.names import from_tar
from agents.drivers.shared_storage.survey import AT_THE_TOP, IN_FURTHER, MAX_TOPS

_READ_BYTES: Final = 64 * 1024
_ROOT: Final = b"./"


class Archived:
    """The `counts` of an inventory, see `Survey.counts`, of what is in the archive."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {AT_THE_TOP: 0}
        self.entries = 0
        self._unfinished = b""
        self._top = b""
        self._key = AT_THE_TOP

    def hear(self, data: bytes) -> None:
        """Takes the next piece of tar's list."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self.entries += 1
            top, slash, rest = line.removeprefix(_ROOT).partition(b"/")
            if not slash:
                if top:
                    self.counts[AT_THE_TOP] += 1
                continue
            if top != self._top:
                self._top, self._key = top, self._enter(from_tar(top.decode("utf-8", "surrogateescape")))
            if rest and not line.endswith(b"/"):
                self.counts[self._key] += 1

    def _enter(self, name: str) -> str:
        key = name if name in self.counts or len(self.counts) <= MAX_TOPS else IN_FURTHER
        self.counts.setdefault(key, 0)
        return key


class Listener:
    """Reads what tar lists while the event loop runs."""

    def __init__(self, archived: Archived) -> None:
        self.archived = archived
        self._reading, self.fd = os.pipe()
        os.set_blocking(self._reading, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reading, self._read)

    def finish(self) -> Archived:
        """Called after tar has ended: what is still in the pipe counts, too."""
        while self._read():
            pass
        return self.archived

    def close(self) -> None:
        self._loop.remove_reader(self._reading)
        os.close(self._reading)
        os.close(self.fd)

    def _read(self) -> bool:
        try:
            self.archived.hear(os.read(self._reading, _READ_BYTES))
        except BlockingIOError:
            return False
        return True


@contextmanager
def listening() -> Iterator[Listener]:
    """Its `fd` is for tar to write its list to."""
    listener = Listener(Archived())
    try:
        yield listener
    finally:
        listener.close()
