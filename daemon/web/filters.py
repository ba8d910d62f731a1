"""Values as pages show them.  Times are `<time>` elements: scripts keep them young, and their title has the full moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

from markupsafe import Markup

from daemon.cli import figures
from daemon.cli.sizes import limit_size

_now: ContextVar[datetime] = ContextVar("now of the page")
_NOTHING: Final = Markup('<span class="quiet nothing">&ndash;</span>')
"""For what there is not: a dash to be seen; the words around it say the rest."""


@contextmanager
def page_made_at(now: datetime) -> Iterator[None]:
    """What `ago` and `ahead` count from, for all that is rendered within the block."""
    token = _now.set(now)
    try:
        yield
    finally:
        _now.reset(token)


def ago(moment: datetime | None) -> Markup:
    """`3 h ago`, or a dash."""
    return _time(moment, "ago", figures.ago) if moment else _NOTHING


def ahead(moment: datetime | None) -> Markup:
    """`in 6 h`, or a dash."""
    return _time(moment, "ahead", figures.ahead) if moment else _NOTHING


def moment(at: datetime | None) -> Markup:
    """`2026-11-22 00:05 UTC`, or a dash."""
    return _time(at, "", lambda at, _: f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC") if at else _NOTHING


def clock(at: datetime | None) -> Markup:
    """`00:05:12`, for lists of one day; the title has the rest."""
    return _time(at, "", lambda at, _: f"{at.astimezone(UTC):%H:%M:%S}") if at else _NOTHING


def day(at: datetime | None) -> Markup:
    """`2026-11-22`, or a dash."""
    return _time(at, "", lambda at, _: f"{at.astimezone(UTC):%Y-%m-%d}") if at else _NOTHING


def size(count: float | None) -> str | Markup:
    """`1.50 GiB`, or a dash for None."""
    return figures.size(count) if count is not None else _NOTHING


def duration(seconds: float | None) -> str | Markup:
    """`2 min 5 s`, or a dash for None."""
    return figures.duration(seconds) if seconds is not None else _NOTHING


def count(number: int, one: str, many: str = "") -> str:
    """`1 node` and `3,000 nodes`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def number(value: int) -> str:
    """`10,000`."""
    return f"{value:,}"


def share(part: float, whole: float) -> float:
    """Of 100, within 0 and 100, for bars."""
    return round(min(100.0, max(0.0, 100 * part / whole)), 2) if whole else 0.0


def sentence(words: str) -> str:
    """Words from elsewhere as a sentence of their own: with a capital letter and a full stop."""
    text = words.strip()
    if not text:
        return text
    # What begins with a name in quotes or in small letters, such as `pg_dump`, is left as it is.
    first = text.split(maxsplit=1)[0]
    begun = text[0].upper() + text[1:] if first.isalpha() else text
    return begun if begun[-1] in ".!?…" else f"{begun}."


FILTERS: Final[dict[str, Callable[..., Any]]] = {
    "ago": ago,
    "ahead": ahead,
    "clock": clock,
    "count": count,
    "day": day,
    "duration": duration,
    "limit": limit_size,
    "moment": moment,
    "number": number,
    "percent": figures.percent,
    "rate": figures.rate,
    "sentence": sentence,
    "share": share,
    "size": size,
}


def _time(at: datetime, kind: str, words: Callable[[datetime, datetime], str]) -> Markup:
    exact = at.astimezone(UTC)
    keeps_young = Markup(' data-time="{}"').format(kind) if kind else Markup()
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(
        exact.isoformat(timespec="seconds").replace("+00:00", "Z"),
        figures.when(exact),
        keeps_young,
        words(exact, _now.get()),
    )
