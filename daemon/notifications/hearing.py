"""What Apprise and the libraries below it say while they work: heard, understood, and kept from every log.

They name addresses, headers and payloads, which hold secrets.  So nothing of it passes on: what comes of it are sentences
of our own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_APPRISE: Final = "apprise"
_BELOW: Final = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry", "urllib3.poolmanager")
_MOST_LINES: Final = 200

_state = threading.local()
_installing = threading.Lock()


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Within the block, what the libraries say in this thread is gathered in the list, the newest last, and nowhere else."""
    _install()
    before: list[str] | None = getattr(_state, "lines", None)
    lines: list[str] = [] if before is None else before
    _state.lines = lines
    try:
        yield lines
    finally:
        _state.lines = before


class _Stop(logging.Filter):
    """Lets nothing pass that is said while somebody hears, and nothing at all of one who speaks to nobody else."""

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self._always = always

    def filter(self, record: logging.LogRecord) -> bool:
        return not _hear(record) and not self._always


def _hear(record: logging.LogRecord) -> bool:
    lines: list[str] | None = getattr(_state, "lines", None)
    if lines is None:
        return False
    if len(lines) < _MOST_LINES:
        try:
            lines.append(record.getMessage())
        except Exception:  # noqa: BLE001 - a line that cannot be put together says nothing
            lines.append(record.levelname)
    return True


def _install() -> None:
    """Once for the process.  Nobody else in it uses Apprise; urllib3 may be used by others, in threads of theirs."""
    with _installing:
        for name in (_APPRISE, *_BELOW):
            logger = logging.getLogger(name)
            if not any(isinstance(each, _Stop) for each in logger.filters):
                # A filter of the logger's own: what it stops reaches no handler, whoever has put one up.
                logger.addFilter(_Stop(always=name == _APPRISE))
        # All that it says is heard: why something failed stands in what it says to developers.
        logging.getLogger(_APPRISE).setLevel(logging.DEBUG)
