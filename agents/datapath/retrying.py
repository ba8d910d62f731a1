"""When to try again: bounded in number and time, with jitter, and pure but for the clock and the dice that are passed in."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from agents.datapath.limits import RetryLimits


class Retries:
    """The tries of one request, the first of which is just being made."""

    def __init__(
        self,
        limits: RetryLimits,
        *,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._dice = dice
        self._began = clock()
        self.made = 1

    def next_pause_s(self, wished_s: float = 0.0) -> float | None:
        """Seconds to wait before the next try; None when there is to be none.

        Doubles from try to try, and half of it is chance, so that many agents do not return at the same moment.  `wished_s`
        is what the server asked for (`Retry-After`), which is heeded up to the longest pause.
        """
        limits = self._limits
        if self.made >= limits.tries:
            return None
        pause_s = min(limits.longest_pause_s, limits.first_pause_s * 2.0 ** (self.made - 1))
        pause_s = pause_s / 2 + self._dice() * pause_s / 2
        pause_s = max(pause_s, min(wished_s, limits.longest_pause_s))
        if self._clock() - self._began + pause_s > limits.total_s:
            return None
        self.made += 1
        return pause_s
