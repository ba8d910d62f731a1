"""How many documents to ask for at a time, so that an answer has a few MiB whatever their size.  Pure."""

from __future__ import annotations

from typing import Final

TARGET_BYTES: Final = 5 * 1024 * 1024
"""Of an answer: it is held in memory, once per slice."""
MOST_DOCUMENTS: Final = 10_000
"""The default of `index.max_result_window`."""
_FIRST_MOST: Final = 500
_STORED_RATIO: Final = 4
"""A document is about this much larger than what it takes on disk."""
_GROWTH: Final = 4


class PageSize:
    """Begins careful, and follows what it sees."""

    def __init__(self, *, stored_bytes: int, documents: int, most: int = MOST_DOCUMENTS) -> None:
        self._most = max(1, min(most, MOST_DOCUMENTS))
        guess = TARGET_BYTES * max(documents, 1) // max(stored_bytes * _STORED_RATIO, 1)
        self.documents = max(1, min(guess, _FIRST_MOST, self._most))
        """Of the next page."""

    def was_too_large(self) -> bool:
        """A page was larger than what can be held, as happens where large documents come after small ones; whether the
        next one can be smaller."""
        if self.documents == 1:
            return False
        self.documents = max(1, self.documents // 16)
        return True

    def saw(self, documents: int, size_bytes: int) -> None:
        """A page of so many documents had so many bytes."""
        if documents == 0:
            return
        fitting = TARGET_BYTES * documents // max(size_bytes, 1)
        self.documents = max(1, min(fitting, self.documents * _GROWTH, self._most))
