"""Sizes as people write them."""

from __future__ import annotations

import re
from typing import Final

from contracts.errors import InvalidInput

_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SIZE: Final = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([a-z]*)\s*", re.IGNORECASE)


def parse_size(text: str, field: str = "size") -> int:
    """Bytes of `300MB`, `1.5 GiB` or `5000000`.  Raises: InvalidInput naming the field."""
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise InvalidInput("input.invalid", f"{field} {text!r} is not a size such as 300MB or 2GiB", field=field)
    return round(float(match[1]) * unit)
