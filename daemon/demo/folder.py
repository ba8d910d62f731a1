"""The demo's folder: everything it makes lies in there, and goes with it."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from contracts.errors import InvalidInput
from daemon.cli.figures import size

_ROOM_FACTOR: Final = 6
"""Two databases with indexes and their log, the stored and the downloaded object, for each byte of the native dump."""
_ROOM_BYTES: Final = 500_000_000
"""And what servers take that hold nothing yet."""
_ATTEMPTS: Final = 20
_AGAIN_AFTER_S: Final = 0.1


@contextmanager
def demo_folder(parent: Path | None, *, keep: bool, size_bytes: int, passable: bool) -> Iterator[Path]:
    """A fresh folder, removed on leaving unless it is to be kept.

    `passable`: others may pass through it to what is theirs, but not look around; the folders inside are each private.
    Raises: InvalidInput when the disk has too little room.
    """
    directory = parent or Path(tempfile.gettempdir())
    check_room(directory, size_bytes)
    folder = Path(tempfile.mkdtemp(prefix="strongroom-demo-", dir=directory)).resolve()
    try:
        if passable:
            folder.chmod(0o711)
        yield folder
    finally:
        if not keep:
            _remove(folder)  # not in a thread: nothing else runs any more, and it must not be left half done


def check_room(directory: Path, size_bytes: int) -> None:
    """Raises: InvalidInput when the disk has too little room for data of that size, or there is no such directory."""
    try:
        free = shutil.disk_usage(directory).free
    except OSError as exc:
        raise InvalidInput("input.invalid", f"{directory} cannot be used: {exc.strerror}", field="directory") from exc
    needed = _ROOM_FACTOR * size_bytes + _ROOM_BYTES
    if free < needed:
        raise InvalidInput(
            "input.invalid",
            f"the demo needs about {size(needed)} of room, and {directory} has {size(free)}: "
            "choose another temporary directory by TMPDIR, or a smaller size",
            field="size",
        )


def _remove(folder: Path) -> None:
    """Repeated, since a server that was killed a moment ago may have written its last file just now."""
    for _ in range(_ATTEMPTS - 1):
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            if not folder.exists():
                return
        except OSError:
            time.sleep(_AGAIN_AFTER_S)
        else:
            return
    shutil.rmtree(folder)
