"""Sizes as people write them: `20GB`, `500MiB`, `1048576`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from contracts.errors import InvalidInput
from contracts.figures import size

_SIZE: Final = re.compile(r"([0-9]{1,19}(?:\.[0-9]{1,9})?) ?(?:([kmgt]?)(i?)b)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_WHOLE: Final = (
    *((1000**power, f"{letter}B") for power, letter in ((4, "T"), (3, "G"), (2, "M"))),
    *((1024**power, f"{letter}iB") for power, letter in ((4, "T"), (3, "G"), (2, "M"))),
)


def parse_size(text: str, field: str = "size") -> int:
    """Bytes; units of 1000 (`GB`) and of 1024 (`GiB`), without one bytes.  Raises: InvalidInput naming the field."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            "input.invalid", f"{field} {text[:60]!r} is not a size such as 500MB, 20GiB or 1048576", field=field
        )
    base = 1024 if match[3] else 1000
    factor: int = base ** _POWERS[(match[2] or "").lower()]
    return round(Decimal(match[1]) * factor)


def limit_size(count: int) -> str:
    """A limit that somebody chose, in the unit that it is whole in: `5 GB`, `1 TiB`; else as `figures.size`."""
    return next((f"{count // unit} {name}" for unit, name in _WHOLE if count and count % unit == 0), size(count))


def limit_words(count: int) -> str:
    """The same, and in the binary units of all that is measured where it is not: `5 GB (4.66 GiB)`."""
    limit, measured = limit_size(count), size(count)
    return limit if "iB" in limit else f"{limit} ({measured})"
