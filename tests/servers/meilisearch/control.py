"""How a test makes the server misbehave: files in a directory that both know, so that nothing is added to the API."""

from __future__ import annotations

from pathlib import Path

HOLD_DUMPS = "hold-dumps"
"""Dump tasks stay in processing while the file exists."""
HOLD_WRITES = "hold-writes"
"""All other tasks do, and a dump waits for the one that is being processed."""
FAIL_DUMPS = "fail-dumps"
"""Dump tasks fail, as they do when the file system of the dumps is full: a part of the file is left."""
LOSE_DOCUMENTS = "lose-documents"
"""Dumps lack the end of their documents, as when the temporary directory is full while the last buffer is flushed."""
MUST_RESTART = "must-restart"
"""The server's health says that it has to be restarted."""


class Control:
    """The test's side, and the server's."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory

    def is_set(self, name: str) -> bool:
        return self._directory is not None and (self._directory / name).exists()

    def set(self, name: str) -> None:
        assert self._directory is not None
        (self._directory / name).touch()

    def clear_all(self) -> None:
        assert self._directory is not None
        for path in self._directory.iterdir():
            path.unlink()

    def clear(self, name: str) -> None:
        assert self._directory is not None
        (self._directory / name).unlink(missing_ok=True)
