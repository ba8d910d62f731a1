"""Failed attempts to be let in, counted per address: guessing is hopeless anyway, and shall not be cheap either."""

from __future__ import annotations

from typing import Final

from contracts.errors import Unavailable

_BURST: Final = 10
_PER_S: Final = 1 / 6
"""Ten a minute in the long run."""
_MOST_ADDRESSES: Final = 10_000
"""Beyond, those that failed longest ago are forgotten: memory is bounded, whoever fills it."""


class FailedAttempts:
    """A bucket of failures per address that leaks at a steady rate.  Moments are seconds of a clock that does not step."""

    def __init__(self) -> None:
        self._levels: dict[str, tuple[float, float]] = {}
        """By address: how full its bucket was, and when."""

    def check(self, address: str, at_s: float) -> None:
        """Raises: Unavailable `access.limited` for an address that has failed too often lately."""
        if self._level(address, at_s) > _BURST - 1:
            raise Unavailable(
                "access.limited", "too many failed attempts from this address: wait a minute, then use a valid token"
            )

    def note(self, address: str, at_s: float) -> None:
        """One more failure."""
        level = self._level(address, at_s) + 1
        self._levels.pop(address, None)
        self._levels[address] = (level, at_s)
        while len(self._levels) > _MOST_ADDRESSES:
            del self._levels[next(iter(self._levels))]

    def _level(self, address: str, at_s: float) -> float:
        level, since_s = self._levels.get(address, (0.0, at_s))
        return max(0.0, level - (at_s - since_s) * _PER_S)
