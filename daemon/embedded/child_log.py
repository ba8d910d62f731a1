"""The log file of a child process: private, appended to by the child itself, and kept from growing without end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from daemon.embedded.private_files import make_private_dir

_TAIL_BYTES: Final = 4096
_MAX_BYTES: Final = 16 * 1024 * 1024


class ChildLog:
    """What a child wrote to stdout and stderr, with the part since its last start marked."""

    def __init__(self, path: Path, max_bytes: int = _MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._mark = 0

    def open(self) -> int:
        """A descriptor to append to, mode 0600; the tail begins here from now on.  The caller closes it."""
        make_private_dir(self.path.parent)
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._mark = os.fstat(descriptor).st_size
        return descriptor

    def size(self) -> int:
        """Bytes so far: the place to read on from."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read_from(self, offset: int) -> str:
        """What was written after `offset`; everything, when the log was cut since."""
        with self.path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(offset if offset <= end else 0)
            return file.read().decode(errors="replace")

    def tail(self) -> str:
        """The last 4 KiB since the last start, in whole lines."""
        if not self.path.exists():
            return ""
        start = max(self._mark, self.size() - _TAIL_BYTES)
        text = self.read_from(start)
        if start > self._mark:
            text = text.partition("\n")[2]
        return text.strip()

    def trim(self) -> bool:
        """Moves the content to `<name>.1` when it is over the limit; what a child writes meanwhile may be lost."""
        if self.size() <= self._max_bytes:
            return False
        previous = self.path.with_name(f"{self.path.name}.1")
        # Copied and cut, not renamed: the child holds the file open, and appends at its end wherever that is.
        shutil.copyfile(self.path, previous)
        previous.chmod(0o600)
        os.truncate(self.path, 0)
        self._mark = 0
        return True
