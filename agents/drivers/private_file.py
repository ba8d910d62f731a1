"""A file without a name: for what a program wants as a file and nobody else may see."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.errors import InvalidInput


@dataclass(frozen=True)
class PrivateFile:
    """A program that inherits `fd` can open `path`; no other can."""

    path: str
    fd: int


@contextmanager
def private_file(content: bytes, runtime_dir: Path) -> Iterator[PrivateFile]:
    """Mode 0600 and nameless from the start (`O_TMPFILE`), so that it is gone whatever ends us or the program.

    The directory should be on a memory file system.  Raises: InvalidInput `config.invalid` when it cannot be written to.
    """
    try:
        file = tempfile.TemporaryFile(dir=runtime_dir)  # noqa: SIM115 -- closed below
    except OSError as exc:
        raise _unusable(runtime_dir, exc) from exc
    with file:
        try:
            file.write(content)
            file.flush()
        except OSError as exc:
            raise _unusable(runtime_dir, exc) from exc
        yield PrivateFile(f"/proc/self/fd/{file.fileno()}", file.fileno())


def _unusable(runtime_dir: Path, exc: OSError) -> InvalidInput:
    return InvalidInput(
        "config.invalid", f"runtime_dir {runtime_dir} cannot be written to: {exc.strerror}", field="runtime_dir"
    )
