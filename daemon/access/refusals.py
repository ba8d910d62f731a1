"""Which refusals the audit log is told of: nobody shall fill it by knocking."""

from __future__ import annotations

from typing import Final

_PER_ADDRESS_S: Final = 60.0
_MOST_A_MINUTE: Final = 60
"""From all addresses together: whoever has many shall not fill the log either."""
_MOST_ADDRESSES: Final = 10_000


class Refusals:
    """One a minute and address, sixty a minute together.  Moments are seconds of a clock that does not step."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        """When each address was told of last, the longest ago first."""
        self._untold: dict[str, int] = {}
        """How many of each were not told of since."""
        self._level = 0.0
        self._level_at_s = 0.0

    def note(self, address: str, at_s: float) -> int | None:
        """How many refusals of this address to tell of now, this one included; None where it shall only be counted."""
        self._level = max(0.0, self._level - (at_s - self._level_at_s) * _MOST_A_MINUTE / 60)
        self._level_at_s = at_s
        last_s = self._told.get(address)
        if (last_s is not None and at_s - last_s < _PER_ADDRESS_S) or self._level > _MOST_A_MINUTE - 1:
            if address in self._untold or len(self._untold) < _MOST_ADDRESSES:
                self._untold[address] = self._untold.get(address, 0) + 1
            return None
        self._level += 1
        self._told.pop(address, None)
        self._told[address] = at_s
        while len(self._told) > _MOST_ADDRESSES:
            del self._told[next(iter(self._told))]
        return self._untold.pop(address, 0) + 1
