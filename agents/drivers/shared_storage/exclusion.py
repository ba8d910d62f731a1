"""What a backup leaves out: the same rule for our own look at the tree and for tar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from agents.drivers.staging import UNFINISHED

_WILDCARDS: Final = {ord("*"): b".*", ord("?"): b"."}
_TAR_SPECIAL: Final = re.compile(r"[\\\[\]]")


class Exclusion:
    """Patterns as `SharedStorageOptions.exclude` describes them, and what an unfinished restore has left in the tree."""

    def __init__(self, patterns: Sequence[str]) -> None:
        every = [*(_trimmed(pattern) for pattern in patterns), *(f"{start}*" for start in UNFINISHED)]
        self._expression = re.compile(b"|".join(map(_expression, every)), re.DOTALL)
        self.arguments = [
            "--anchored",
            "--wildcards",
            "--wildcards-match-slash",
            *(f"--exclude=./{_TAR_SPECIAL.sub(_escaped, pattern)}" for pattern in every),
        ]
        """For tar, before the names of what it shall take."""

    def leaves_out(self, path: bytes) -> bool:
        """Whether the entry at `path`, relative to the tree, is left out.  To be asked of what is above it first."""
        return self._expression.fullmatch(path) is not None


def _trimmed(pattern: str) -> str:
    while pattern.startswith("./"):
        pattern = pattern[2:].lstrip("/")
    return pattern.rstrip("/")


def _expression(pattern: str) -> bytes:
    return b"".join(_WILDCARDS.get(code) or re.escape(bytes([code])) for code in pattern.encode())


def _escaped(match: re.Match[str]) -> str:
    return f"\\{match[0]}"
