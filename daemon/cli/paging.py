"""Lists that the coordinator gives page by page, gathered to as many as are wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, Protocol, TypeVar

from contracts.errors import InvalidInput

PAGE: Final = 500
_LEAST: Final = 10


class Page(Protocol):
    """An answer with a part of a list."""

    @property
    def next_cursor(self) -> str: ...


P = TypeVar("P", bound=Page)


async def pages(
    ask: Callable[[str, int], Awaitable[P]], held: Callable[[P], int], limit: int | None, size: int = PAGE
) -> AsyncIterator[P]:
    """The pages that hold the first `limit` things, or all of them; at least one.

    `ask` is called with the cursor and how many the page may hold; where as many do not fit into one message, it is asked
    for less.  `held` is how many a page has.  Raises: StrongroomError of `ask`.
    """
    cursor, left = "", limit
    while True:
        wanted = size if left is None else min(size, left)
        try:
            page = await ask(cursor, wanted)
        except InvalidInput as exc:
            if exc.field != "limit" or wanted <= _LEAST:
                raise
            size = max(wanted // 2, _LEAST)
            continue
        yield page
        cursor = page.next_cursor
        left = None if left is None else left - held(page)
        if not cursor or (left is not None and left <= 0):
            return
