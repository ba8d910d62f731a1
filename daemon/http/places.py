"""How much of a kind may go on at once: whoever comes then is told to come again."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from contracts.errors import Unavailable

T = TypeVar("T")


class Places:
    """Taken until what goes on has ended, all together and by each holder."""

    def __init__(self, most: int, *, most_each: int, what: str) -> None:
        self._most = most
        self._most_each = most_each
        self._what = what
        self._taken: Counter[str] = Counter()

    def check(self, holder: str) -> None:
        """Raises: Unavailable `access.busy` when there is no place left."""
        if self._taken.total() >= self._most or self._taken[holder] >= self._most_each:
            raise Unavailable(
                "access.busy", f"as many {self._what} are under way as may be at once: end one, or try again later"
            )

    async def hold(self, holder: str, source: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """The source, with a place taken from its first step until it is closed.  Raises: as `check`."""
        self.check(holder)
        self._taken[holder] += 1
        try:
            async with aclosing(source):
                async for each in source:
                    yield each
        finally:
            self._taken[holder] -= 1
            self._taken += Counter()  # drops those at zero
