"""Which bytes of an answer are wanted.  Source: RFC 9110, sections 13.1.5 and 14."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,19})-([0-9]{0,19})[ \t]*", re.IGNORECASE)


class Span(NamedTuple):
    """From `first` on, before `end`."""

    first: int
    end: int


def wanted_span(range_: str, if_range: str, etag: str, size: int) -> Span | None:
    """The span that is asked for; None for the whole, also where the header makes no sense or asks for several.

    `if_range` holds a tag, or a time that we never gave: the range counts only for the very same bytes.
    Raises: ValueError for a span that lies behind the end.
    """
    match = _RANGE.fullmatch(range_)
    if match is None or (if_range and if_range != etag):
        return None
    first, last = match[1], match[2]
    if not first:
        if not last:
            return None
        span = Span(max(0, size - int(last)), size)
    else:
        if last and int(last) < int(first):
            return None
        span = Span(int(first), min(size, int(last) + 1) if last else size)
    if span.first >= span.end:
        raise ValueError(f"the {size} bytes have none at {range_!r}")
    return span
