"""The grammar of five-field cron expressions, and which minutes one means.

    minute 0-59   hour 0-23   day 1-31   month 1-12 or jan-dec   weekday 0-7 or sun-sat, 0 and 7 both Sunday

A field is `*`, a value, a range `a-b`, a step `*/n` or `a-b/n`, or a list of these with commas.  Nothing else is taken:
what other programs add (`@daily`, seconds, `L`, `#`, `?`, `H`) means something else in each of them.

Day and weekday follow Vixie's cron: when both are restricted, a day fires if *either* matches; a field that begins with `*`,
`*/2` too, is not restricted, and then both have to match.  Source: crontab(5), cron's `DOM_STAR` and `DOW_STAR`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple, NoReturn

import msgspec

from contracts.errors import InvalidInput

_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST: Final = 512
"""Characters; every value of every field written out takes fewer."""
_DAYS_OF_MONTH: Final = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_PART: Final = re.compile(r"(?P<low>\*|[0-9]{1,4}|[a-z]{3})(?:-(?P<high>[0-9]{1,4}|[a-z]{3}))?(?:/(?P<step>[0-9]{1,4}))?")


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: Mapping[str, int]


_FIELDS: Final = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day", 1, 31, {}),
    _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Field("weekday", 0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)


class CronTimes(msgspec.Struct, frozen=True, kw_only=True):
    """The minutes that an expression means; every field sorted, Sunday as 0."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool
    """Whether a day fires if its day or its weekday matches, instead of both."""

    def matches(self, moment: datetime) -> bool:
        """Whether it fires in this minute (aware)."""
        utc = moment.astimezone(UTC)
        day, weekday = utc.day in self.days, utc.isoweekday() % 7 in self.weekdays
        return (
            utc.minute in self.minutes
            and utc.hour in self.hours
            and utc.month in self.months
            and ((day or weekday) if self.either_day else (day and weekday))
        )

    @property
    def fires(self) -> bool:
        """Whether there is any such minute: every weekday comes to every date of the calendar sooner or later."""
        return self.either_day or any(self.days[0] <= _DAYS_OF_MONTH[month - 1] for month in self.months)


@lru_cache(maxsize=4096)
def parse_cron(expression: str, field: str = "expression") -> CronTimes:
    """The minutes that the expression means.

    Raises: InvalidInput naming `field`, with a sentence about the part that is wrong; for one that never fires, too.
    """
    # Blanks and tabs alone: a line break in an expression is a file read wrongly.
    texts = [text for text in re.split(r"[ \t]+", expression.lower()) if text] if len(expression) <= _LONGEST else []
    if len(texts) != len(_FIELDS):
        _refuse(expression, field, _about_count(expression, len(texts)))
    try:
        values = [_parse_field(of, text) for of, text in zip(_FIELDS, texts, strict=True)]
    except ValueError as exc:
        _refuse(expression, field, str(exc))
    minutes, hours, days, months, weekdays = values
    times = CronTimes(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=tuple(sorted({weekday % 7 for weekday in weekdays})),
        either_day=not texts[2].startswith("*") and not texts[4].startswith("*"),
    )
    if not times.fires:
        _refuse(expression, field, "it never fires: no such month has such a day")
    return times


def _parse_field(of: _Field, text: str) -> tuple[int, ...]:
    """Raises: ValueError with a sentence."""
    return tuple(sorted({value for part in text.split(",") for value in _parse_part(of, part)}))


def _parse_part(of: _Field, part: str) -> Iterator[int]:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(f"{of.name} {part!r} is not a value, a range a-b, a step */n or a-b/n, or *")
    low_text, high_text, step_text = match["low"], match["high"], match["step"]
    if low_text == "*":
        if high_text is not None:
            raise ValueError(f"{of.name} {part!r} is not a range: its ends have to be values")
        # Sunday once: `*/7` and `*/2` of weekdays begin anew each week.
        low, high = of.low, 6 if of.name == "weekday" else of.high
    else:
        low = _parse_value(of, low_text)
        if high_text is None:
            if step_text is not None:
                raise ValueError(f"{of.name} {part!r} has a step without a range: write {low}-{of.high}/{step_text}")
            return iter((low,))
        high = _parse_value(of, high_text)
        if high_text == "sun" and low > 0:
            high = 7  # as in fri-sun
        if low > high:
            raise ValueError(f"{of.name} {part!r} runs backwards: write two ranges with a comma between")
    step = int(step_text) if step_text is not None else 1
    most = of.high - of.low + (of.name != "weekday")
    if not 1 <= step <= most:
        raise ValueError(f"{of.name} {part!r} has a step that is not within 1-{most}")
    return iter(range(low, high + 1, step))


def _parse_value(of: _Field, text: str) -> int:
    if text.isdigit():
        value = int(text)
        if not of.low <= value <= of.high:
            raise ValueError(f"{of.name} {text} is not within {of.low}-{of.high}")
        return value
    if text not in of.names:
        known = f": there are {', '.join(of.names)}" if of.names else ", which has no names"
        raise ValueError(f"{text!r} is not a {of.name}{known}")
    return of.names[text]


def _about_count(expression: str, count: int) -> str:
    if len(expression) > _LONGEST:
        return f"it is longer than {_LONGEST} characters"
    if expression.lstrip().startswith("@"):
        return "names such as @daily are not taken: write the five fields, as in '30 0 * * *'"
    return f"it has {count} fields where five are needed: minute, hour, day, month, weekday"


def _refuse(expression: str, field: str, why: str) -> NoReturn:
    shown = expression if len(expression) <= 80 else f"{expression[:77]}..."
    raise InvalidInput("input.invalid", f"the cron expression {shown!r} cannot be taken: {why}", field=field)
