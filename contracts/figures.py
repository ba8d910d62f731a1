"""Sizes as people read them, for the sentences that both sides write."""

from __future__ import annotations

from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """Bytes with three significant digits, in binary units: `0 B`, `1.50 KiB`, `15.0 MiB`, `734 GiB`."""
    value = float(count)
    for unit in _UNITS[:-1]:
        # 999.5 would round to 1000: the next unit says the same with fewer digits.
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" else f"{_three_digits(value)} {unit}"
        value /= 1024
    return f"{_three_digits(value)} {_UNITS[-1]}"


def _three_digits(value: float) -> str:
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}"
