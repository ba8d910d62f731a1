"""Figures as people read them: sizes, rates, durations and times.  Pure functions of the values and of `now`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from contracts.figures import size as size

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


def rate(bytes_per_s: float) -> str:
    """Such as `84.1 MiB/s`."""
    return f"{size(bytes_per_s)}/s"


def duration(seconds: float) -> str:
    """Such as `0.4 s`, `14 s`, `2 min 5 s`, `3 h 12 min`, `2 d 4 h`: the two largest units."""
    if seconds < 10:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return _pair(whole, _MINUTE_S, "min", 1, "s")
    if whole < _DAY_S:
        return _pair(whole, _HOUR_S, "h", _MINUTE_S, "min")
    return _pair(whole, _DAY_S, "d", _HOUR_S, "h")


def when(moment: datetime | None) -> str:
    """Such as `2026-11-22 00:05:12 UTC`; empty for None."""
    return f"{stamp(moment)} UTC" if moment else ""


def stamp(moment: datetime | None) -> str:
    """As `when`, for a column whose head says that it is UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def ago(moment: datetime, now: datetime) -> str:
    """Such as `3 h ago`: the largest unit alone; `just now` below five seconds and for clocks that disagree."""
    seconds = (now - moment).total_seconds()
    return "just now" if seconds < 5 else f"{_largest(seconds)} ago"


def ahead(moment: datetime, now: datetime) -> str:
    """Such as `in 6 h`, as `ago`; `now` below one second, and for what is past."""
    seconds = (moment - now).total_seconds()
    return "now" if seconds < 1 else f"in {_largest(seconds)}"


def ratio(plain: int, stored: int) -> str:
    """How much smaller the stored form is, such as `5.2x`; empty when there is nothing to compare."""
    return f"{plain / stored:.1f}x" if plain and stored else ""


def count(number: int, one: str, many: str = "") -> str:
    """Such as `1 node` and `3 nodes`."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def percent(part: int, whole: int) -> str:
    """Such as `97 %`; `100 %` is all of it and `0 %` nothing, and what is only close is `>99 %` and `<1 %`."""
    rounded = round(100 * part / whole) if whole else 0
    if 0 < part < whole and rounded in (0, 100):
        return ">99 %" if rounded else "<1 %"
    return f"{rounded} %"


def _largest(seconds: float) -> str:
    for unit_s, name in ((_DAY_S, "d"), (_HOUR_S, "h"), (_MINUTE_S, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {name}"
    return f"{int(seconds)} s"


def _pair(whole: int, large_s: int, large: str, small_s: int, small: str) -> str:
    first, rest = divmod(whole, large_s)
    second = rest // small_s
    return f"{first} {large} {second} {small}" if second else f"{first} {large}"
