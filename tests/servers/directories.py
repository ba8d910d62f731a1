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

_NAME: Final = re.compile(r"strongroom-(nats|s3|pg|mariadb|es|qdrant|meili)-(\d+)-.*")
STRAY_FILES: Final = "stray.json"
"""In such a directory: a list of files elsewhere that its server leaves when it is killed."""


@contextmanager
def server_directory(purpose: str) -> Iterator[Path]:
    """A directory that is gone afterwards, whoever owns what is in it.  Its name tells which process it belongs to."""
    path = Path(tempfile.mkdtemp(prefix=f"strongroom-{purpose}-{os.getpid()}-"))
    try:
        yield path
    finally:
        _remove(path)


def sweep() -> None:
    """Removes what runs that were killed outright have left; their servers died with them."""
    for path in Path(tempfile.gettempdir()).glob("strongroom-*"):
        match = _NAME.fullmatch(path.name)
        ours = os.geteuid() in {0, path.stat().st_uid}
        if match and ours and not Path(f"/proc/{match[2]}").exists():
            _remove(path)


def _remove(path: Path) -> None:
    stray = path / STRAY_FILES
    if stray.exists():
        for name in json.loads(stray.read_text()):
            Path(name).unlink(missing_ok=True)
    shutil.rmtree(path)
