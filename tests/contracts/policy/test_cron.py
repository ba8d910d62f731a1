"""The grammar of cron expressions, and which days they mean."""

from __future__ import annotations

import pytest

from contracts.errors import InvalidInput
from contracts.policy.cron import CronTimes, parse_cron
from tests.contracts.policy.histories import moment


def refused(expression: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse_cron(expression, "schedule.expression")
    assert caught.value.code == "input.invalid"
    assert caught.value.field == "schedule.expression"
    return caught.value.message


def test_stars_mean_everything() -> None:
    assert parse_cron("* * * * *") == CronTimes(
        minutes=tuple(range(60)),
        hours=tuple(range(24)),
        days=tuple(range(1, 32)),
        months=tuple(range(1, 13)),
        weekdays=tuple(range(7)),
        either_day=False,
    )


@pytest.mark.parametrize(
    ("minute", "values"),
    [
        ("0", (0,)),
        ("05", (5,)),
        ("1,2,59", (1, 2, 59)),
        ("59,1,1", (1, 59)),
        ("10-13", (10, 11, 12, 13)),
        ("7-7", (7,)),
        ("*/15", (0, 15, 30, 45)),
        ("5-30/10", (5, 15, 25)),
        ("*/60", (0,)),
        ("1-3,*/20,59", (0, 1, 2, 3, 20, 40, 59)),
    ],
)
def test_lists_ranges_and_steps(minute: str, values: tuple[int, ...]) -> None:
    assert parse_cron(f"{minute} * * * *").minutes == values


@pytest.mark.parametrize(
    ("weekday", "values"),
    [
        ("0", (0,)),
        ("7", (0,)),
        ("sun", (0,)),
        ("0,7", (0,)),
        ("5-7", (0, 5, 6)),
        ("fri-sun", (0, 5, 6)),
        ("Mon-FRI", (1, 2, 3, 4, 5)),
        ("sun-tue", (0, 1, 2)),
        ("0-7", (0, 1, 2, 3, 4, 5, 6)),
        ("*/2", (0, 2, 4, 6)),
        ("*/7", (0,)),
        ("mon,wed,7", (0, 1, 3)),
        ("1-7/3", (0, 1, 4)),
    ],
)
def test_weekdays_know_names_and_two_sundays(weekday: str, values: tuple[int, ...]) -> None:
    assert parse_cron(f"0 0 * * {weekday}").weekdays == values


def test_months_know_names() -> None:
    assert parse_cron("0 0 1 jan,JUN-aug,12 *").months == (1, 6, 7, 8, 12)
    assert parse_cron(" 0\t0  1 1-12/4 * ").months == (1, 5, 9)


@pytest.mark.parametrize(
    ("expression", "fires_on"),
    [
        # March 2026: the 1st is a Sunday.
        ("0 0 13 * fri", {6, 13, 20, 27}),
        ("0 0 10 * fri", {6, 10, 13, 20, 27}),
        ("0 0 10 * *", {10}),
        ("0 0 * * fri", {6, 13, 20, 27}),
        ("0 0 1-31 * fri", set(range(1, 32))),
        ("0 0 */10 * sun", {1}),
        ("0 0 1,11,21,31 * sun", {1, 8, 11, 15, 21, 22, 29, 31}),
        ("0 0 1-7 * */7", {1}),
        ("0 0 8-14 * */1", set(range(8, 15))),
    ],
)
def test_day_or_weekday_unless_one_of_them_begins_with_a_star(expression: str, fires_on: set[int]) -> None:
    times = parse_cron(expression)
    assert {day for day in range(1, 32) if times.matches(moment(f"2026-03-{day:02}"))} == fires_on


@pytest.mark.parametrize(
    ("expression", "part"),
    [
        ("60 * * * *", "minute 60 is not within 0-59"),
        ("* 24 * * *", "hour 24 is not within 0-23"),
        ("* * 0 * *", "day 0 is not within 1-31"),
        ("* * 32 * *", "day 32 is not within 1-31"),
        ("* * * 0 *", "month 0 is not within 1-12"),
        ("* * * 13 *", "month 13 is not within 1-12"),
        ("* * * * 8", "weekday 8 is not within 0-7"),
        ("5-1 * * * *", "runs backwards"),
        ("* * * * sat-mon", "runs backwards"),
        ("*/0 * * * *", "a step that is not within 1-60"),
        ("*/61 * * * *", "a step that is not within 1-60"),
        ("* */25 * * *", "a step that is not within 1-24"),
        ("* * * * */8", "a step that is not within 1-7"),
        ("5/15 * * * *", "write 5-59/15"),
        ("*-5 * * * *", "its ends have to be values"),
        ("mon * * * *", "'mon' is not a minute, which has no names"),
        ("* * * foo *", "'foo' is not a month: there are jan, feb"),
        ("* * * * jan", "'jan' is not a weekday: there are sun, mon"),
        ("1, * * * *", "minute '' is not a value"),
        ("-1 * * * *", "minute '-1' is not a value"),
        ("1.5 * * * *", "is not a value"),
        ("* * * *", "4 fields where five are needed"),
        ("0 0 0 * * *", "6 fields where five are needed"),
        ("", "0 fields"),
        ("@daily", "write the five fields"),
        ("* * L * *", "day 'l' is not a value"),
        ("* * 15w * *", "is not a value"),
        ("* * ? * *", "is not a value"),
        ("* * * * 5#2", "is not a value"),
        ("* * * * l5", "is not a value"),
        ("H * * * *", "is not a value"),
        ("R * * * *", "is not a value"),
        ("* * * * *\n", "is not a value"),
        ("٣ * * * *", "is not a value"),
        ("1," * 600 + "1 * * * *", "longer than 512 characters"),
    ],
)
def test_what_is_outside_the_grammar_is_refused_with_a_sentence(expression: str, part: str) -> None:
    assert part in refused(expression)


@pytest.mark.parametrize("never", ["0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 31 feb */2", "0 0 30-31 2 *", "0 0 31 4 */7"])
def test_an_expression_that_never_fires_is_refused(never: str) -> None:
    assert "never fires" in refused(never)


@pytest.mark.parametrize("rarely", ["0 0 29 2 *", "0 0 31 2,3 *", "0 0 30 2 mon", "0 0 29 2 */7"])
def test_an_expression_that_fires_rarely_is_not(rarely: str) -> None:
    assert parse_cron(rarely).fires
