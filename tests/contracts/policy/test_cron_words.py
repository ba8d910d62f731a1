"""Cron expressions and schedules in plain words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.policy.cron import CronTimes, parse_cron
from contracts.policy.cron_words import cron_words
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekday, Weekly
from contracts.policy.schedule_words import schedule_words


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "every minute"),
        ("*/10 * * * *", "every 10 minutes"),
        ("*/7 * * * *", "at minute 0 to 56 in steps of 7 of every hour"),
        ("0 * * * *", "every hour, on the hour"),
        ("30 * * * *", "every hour, at minute 30"),
        ("15,45 * * * *", "at minute 15 and 45 of every hour"),
        ("0 3 * * *", "every day at 03:00"),
        ("0 3,15 * * *", "every day at 03:00 and 15:00"),
        ("0 */6 * * *", "every day at 00:00, 06:00, 12:00 and 18:00"),
        ("5 */2 * * *", "every 2 hours from 00:05 to 22:05"),
        ("0 9-17 * * *", "every hour from 09:00 to 17:00"),
        ("*/10 9-17 * * *", "every 10 minutes from 09:00 to 17:50"),
        ("* 9 * * *", "every minute from 09:00 to 09:59"),
        ("15,45 9-17 * * mon-fri", "at minute 15 and 45 of every hour from 9 to 17, from Monday to Friday"),
        ("0 1,2,3,9,15,20,22 * * *", "at minute 0 of the hours 1 to 3, 9, 15, 20 and 22"),
        ("0 3 * * 1", "at 03:00 every Monday"),
        ("0 3 * * 0,6", "at 03:00 every Saturday and Sunday"),
        ("0 3 * * mon,wed,fri", "at 03:00 every Monday, Wednesday and Friday"),
        ("30 3 * * 1-5", "at 03:30 from Monday to Friday"),
        ("0 0 1 * *", "at 00:00 on day 1 of every month"),
        ("0 0 1,15 * *", "at 00:00 on day 1 and 15 of every month"),
        ("0 0 1-7 1,7 *", "at 00:00 on day 1 to 7 of January and July"),
        ("0 0 31 * *", "at 00:00 on day 31 of every month, where there is such a day"),
        ("0 0 29 2 *", "at 00:00 on 29 February"),
        ("0 4 * 6-8 *", "at 04:00 every day in June to August"),
        ("0 4 * 6-8 sun", "at 04:00 every Sunday in June to August"),
        ("*/15 * * 12 *", "every 15 minutes, every day in December"),
        ("0 0 1 * 1", "at 00:00 on day 1 of every month and also every Monday"),
        ("0 0 1 1 1", "at 00:00 on 1 January and also every Monday in January"),
        ("0 0 */2 * 1", "at 00:00 on day 1 to 31 in steps of 2 of every month, only where that is a Monday"),
        ("0 0 1-31 * 1", "every day at 00:00"),
    ],
)
def test_an_expression_is_said_in_plain_words(expression: str, words: str) -> None:
    assert cron_words(parse_cron(expression)) == words


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Off(), "never by itself: only people start backups"),
        (Daily(at="00:30"), "every day at 00:30"),
        (Weekly(day=Weekday.SUNDAY, at="03:30:15"), "every Sunday at 03:30:15"),
        (Monthly(day=1, at="02:15"), "on day 1 of every month at 02:15"),
        (Monthly(day=30, at="02:15"), "on day 30 of every month, or the last of shorter ones, at 02:15"),
        (Monthly(day=31, at="02:15"), "on the last day of every month at 02:15"),
        (Cron(expression="0 3 * * 1"), "at 03:00 every Monday"),
    ],
)
def test_each_of_the_five_choices_is_said_in_plain_words(schedule: Schedule, words: str) -> None:
    assert schedule_words(schedule) == words


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    """Every shape that the grammar of a field has."""
    value = st.integers(low, high)
    pair = st.tuples(value, value).map(sorted)
    step = st.integers(1, high - low + 1)
    part = st.one_of(
        value.map(str),
        pair.map(lambda ends: f"{ends[0]}-{ends[1]}"),
        st.tuples(pair, step).map(lambda made: f"{made[0][0]}-{made[0][1]}/{made[1]}"),
        step.map(lambda step: f"*/{step}"),
    )
    return st.one_of(st.just("*"), st.lists(part, min_size=1, max_size=4).map(",".join))


_EXPRESSIONS = st.tuples(_field(0, 59), _field(0, 23), _field(1, 28), _field(1, 12), _field(0, 6)).map(list)


@given(_EXPRESSIONS)
def test_every_shape_of_every_field_has_words_of_one_line(fields: list[str]) -> None:
    words = cron_words(parse_cron(" ".join(fields)))
    assert words
    assert words.isprintable()
    assert not words.startswith(" ")
    assert "  " not in words
    assert " ," not in words


@given(_EXPRESSIONS, st.integers(0, 4), st.data())
def test_expressions_that_fire_at_different_minutes_are_said_differently(
    fields: list[str], at: int, data: st.DataObject
) -> None:
    ranges = ((0, 59), (0, 23), (1, 28), (1, 12), (0, 6))
    other = [*fields[:at], data.draw(_field(*ranges[at])), *fields[at + 1 :]]
    first, second = parse_cron(" ".join(fields)), parse_cron(" ".join(other))
    assume(_meaning(first) != _meaning(second))
    assert cron_words(first) != cron_words(second)


@given(_EXPRESSIONS)
def test_the_words_follow_from_the_values_and_not_from_the_spelling(fields: list[str]) -> None:
    times = parse_cron(" ".join(fields))
    spelled = [",".join(map(str, values)) for values in (times.minutes, times.hours, times.days, times.months)]
    # Written out, a star restricts: only where one of the two is all of them the meaning stays.
    assume(times.either_day or len(times.days) == 31 or len(times.weekdays) == 7)
    days, weekdays = (spelled[2], ",".join(map(str, times.weekdays))) if times.either_day else ("*", "*")
    if not times.either_day and len(times.weekdays) < 7:
        weekdays = ",".join(map(str, times.weekdays))
    elif not times.either_day and len(times.days) < 31:
        days = spelled[2]
    again = parse_cron(" ".join([spelled[0], spelled[1], days, spelled[3], weekdays]))
    assert cron_words(again) == cron_words(times)


def _meaning(times: CronTimes) -> tuple[object, ...]:
    """The times of the day, and the days of two years that fire: enough for every weekday to meet most dates."""
    start = datetime(2027, 1, 1, times.hours[0], times.minutes[0], tzinfo=UTC)
    days = tuple(day for day in range(731) if times.matches(start + timedelta(days=day)))
    return times.minutes, times.hours, days
