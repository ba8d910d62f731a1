"""What a cron expression means, in plain words: `30 3 * * 1-5` is `at 03:30 from Monday to Friday`.

Said of the values that the expression means and not of how it is spelled: two with the same values are said the same, and
two that fire at different minutes are said differently.  Times are of the day in UTC; the words do not repeat that.
"""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from contracts.policy.cron import CronTimes

_ALL_MINUTES: Final = 60
_ALL_HOURS: Final = 24
_ALL_DAYS: Final = 31
_ALL_MONTHS: Final = 12
_ALL_WEEKDAYS: Final = 7
_TIMES_LISTED: Final = 6
"""Times of a day that are written out one by one."""
_LEAST_STEPS: Final = 4
"""Evenly spaced values that are said by their distance."""
_LEAST_RANGE: Final = 3
_EVERY_MONTH_HAS: Final = 28
_MONTHS: Final = calendar.month_name
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def cron_words(times: CronTimes) -> str:
    """A phrase that fits behind "It runs": when, on which days, in which months."""
    often, time = _time_words(times.minutes, times.hours)
    days = _day_words(times)
    if not days:
        return time if often else f"every day {time}"
    return f"{time}, {days}" if often else f"{time} {days}"


def _time_words(minutes: Sequence[int], hours: Sequence[int]) -> tuple[bool, str]:
    """Whether that is something that goes on through the day, and the words."""
    if len(minutes) * len(hours) <= _TIMES_LISTED:
        return False, f"at {_listed([_clock(hour, minute) for hour in hours for minute in minutes])}"
    all_hours = len(hours) == _ALL_HOURS
    in_a_row = hours[-1] - hours[0] == len(hours) - 1
    step = _step(minutes)
    if len(minutes) == 1:
        return True, _hourly(minutes[0], hours)
    if minutes[0] == 0 and step and _ALL_MINUTES % step == 0 and len(minutes) == _ALL_MINUTES // step and in_a_row:
        often = "every minute" if step == 1 else f"every {step} minutes"
        return True, often if all_hours else f"{often} from {_clock(hours[0], 0)} to {_clock(hours[-1], minutes[-1])}"
    which = f"minute {_numbers(minutes)}"
    if all_hours:
        return True, f"at {which} of every hour"
    if in_a_row:
        return True, f"at {which} of every hour from {hours[0]} to {hours[-1]}"
    return True, f"at {which} of the hours {_numbers(hours)}"


def _hourly(minute: int, hours: Sequence[int]) -> str:
    """More hours than are listed, one minute of each."""
    step = _step(hours)
    if len(hours) == _ALL_HOURS:
        return "every hour, on the hour" if minute == 0 else f"every hour, at minute {minute}"
    if step:
        often = "every hour" if step == 1 else f"every {step} hours"
        return f"{often} from {_clock(hours[0], minute)} to {_clock(hours[-1], minute)}"
    return f"at minute {minute} of the hours {_numbers(hours)}"


def _day_words(times: CronTimes) -> str:
    """Empty for every day of the year."""
    all_days, all_weekdays = len(times.days) == _ALL_DAYS, len(times.weekdays) == _ALL_WEEKDAYS
    months = "" if len(times.months) == _ALL_MONTHS else _month_words(times.months)
    if times.either_day and not (all_days or all_weekdays):
        return f"{_dates(times)} and also {_weekday_words(times.weekdays)}{f' in {months}' if months else ''}"
    if times.either_day or (all_days and all_weekdays):
        return f"every day in {months}" if months else ""
    if all_days:
        return f"{_weekday_words(times.weekdays)}{f' in {months}' if months else ''}"
    if all_weekdays:
        return _dates(times)
    return f"{_dates(times)}, only where that is a {_listed([_weekday(day) for day in _from_monday(times.weekdays)], 'or')}"


def _dates(times: CronTimes) -> str:
    """Days of the month, with the months."""
    days = list(times.days)
    if len(days) == 1 and len(times.months) == 1:
        return f"on {days[0]} {_MONTHS[times.months[0]]}"
    owner = "every month" if len(times.months) == _ALL_MONTHS else _month_words(times.months)
    words = f"on day {_numbers(days)} of {owner}"
    # Unlike a monthly schedule, which takes the last day instead, cron skips a month that has none of them.
    return words if days[0] <= _EVERY_MONTH_HAS else f"{words}, where there is such a day"


def _month_words(months: Sequence[int]) -> str:
    if len(months) >= _LEAST_RANGE and _step(months) == 1:
        return f"{_MONTHS[months[0]]} to {_MONTHS[months[-1]]}"
    return _listed([_MONTHS[month] for month in months])


def _weekday_words(weekdays: Sequence[int]) -> str:
    days = _from_monday(weekdays)
    if len(days) >= _LEAST_RANGE and _step(days) == 1:
        return f"from {_weekday(days[0])} to {_weekday(days[-1])}"
    return f"every {_listed([_weekday(day) for day in days])}"


def _from_monday(weekdays: Sequence[int]) -> list[int]:
    """1 for Monday to 7, sorted: a week ends with its Sunday."""
    return sorted(day or _ALL_WEEKDAYS for day in weekdays)


def _weekday(day: int) -> str:
    return _WEEKDAYS[day - 1]


def _numbers(values: Sequence[int]) -> str:
    """`5`, `1 and 15`, `1 to 7`, `1 to 7 and 20`, `0 to 56 in steps of 7`."""
    step = _step(values)
    if step > 1 and len(values) >= _LEAST_STEPS:
        return f"{values[0]} to {values[-1]} in steps of {step}"
    parts: list[str] = []
    start = 0
    for end in range(1, len(values) + 1):
        if end < len(values) and values[end] == values[end - 1] + 1:
            continue
        run = values[start:end]
        parts += [f"{run[0]} to {run[-1]}"] if len(run) >= _LEAST_RANGE else map(str, run)
        start = end
    return _listed(parts)


def _step(values: Sequence[int]) -> int:
    """The one distance between all neighbours, or 0 where they differ or there are no two."""
    distances = {right - left for left, right in pairwise(values)}
    return distances.pop() if len(distances) == 1 else 0


def _clock(hour: int, minute: int) -> str:
    return f"{hour:02}:{minute:02}"


def _listed(parts: Sequence[str], last: str = "and") -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {last} {parts[-1]}"
