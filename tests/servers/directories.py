"""Temporary directories of servers: short paths, gone afterwards, and swept up when a test run was killed."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agents.drivers.filesystem import remove_tree

_NAME: Final = re.compile(r"strongroom-(nats|s3|pg|mariadb|es|qdrant|meili|files)-(\d+)-.*")
STRAY_FILES: Final = "stray.json"
"""In such a directory: a list of files elsewhere that its server leaves when it is killed."""


_MEMORY: Final = Path("/dev/shm")
_MEMORY_NEEDED: Final = 2**30


@contextmanager
def server_directory(purpose: str, *, in_memory: bool = False) -> Iterator[Path]:
    """A directory that is gone afterwards, whoever owns what is in it.  Its name tells which process it belongs to.

    With `in_memory` on a file system in memory, where there is one with room: for servers that sync often and hold little.
    """
    parent = _MEMORY if in_memory and _has_room(_MEMORY) else None
    path = Path(tempfile.mkdtemp(prefix=f"strongroom-{purpose}-{os.getpid()}-", dir=parent))
    try:
        yield path
    finally:
        _remove(path)


def sweep() -> None:
    """Removes what runs that were killed outright have left; their servers died with them."""
    for path in (*Path(tempfile.gettempdir()).glob("strongroom-*"), *_MEMORY.glob("strongroom-*")):
        match = _NAME.fullmatch(path.name)
        ours = os.geteuid() in {0, path.stat().st_uid}
        if match and ours and not Path(f"/proc/{match[2]}").exists():
            _remove(path)


def _has_room(directory: Path) -> bool:
    return os.access(directory, os.W_OK) and shutil.disk_usage(directory).free >= _MEMORY_NEEDED


def _remove(path: Path) -> None:
    stray = path / STRAY_FILES
    if stray.exists():
        for name in json.loads(stray.read_text()):
            Path(name).unlink(missing_ok=True)
    parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Trees of tests may be deeper than Python's stack.
        remove_tree(path.name, dir_fd=parent, failed=_raise)
    finally:
        os.close(parent)


def _raise(_: str, exc: OSError) -> None:
    raise exc
