"""When schedules are due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.policy.cron import parse_cron
from contracts.policy.schedule import Cron, Off, Schedule
from contracts.policy.schedule_text import parse_schedule
from daemon.schedules import due_between, next_due, next_dues

MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dues(schedule: str, after: str, count: int = 3) -> list[str]:
    return [f"{due:%Y-%m-%dT%H:%M}" for due in next_dues(parse_schedule(schedule), at(after), count)]


def test_off_is_never_due() -> None:
    assert next_due(Off(), at("2026-01-01")) is None
    assert next_dues(Off(), at("2026-01-01"), 5) == []


def test_daily() -> None:
    assert dues("daily 00:30", "2026-12-31T00:29") == ["2026-12-31T00:30", "2027-01-01T00:30", "2027-01-02T00:30"]
    assert next_due(parse_schedule("daily 00:37:12"), at("2026-03-29T00:37:11.999999")) == at("2026-03-29T00:37:12")


def test_daily_is_once_a_day_where_clocks_change() -> None:
    """UTC has no hour twice and none left out."""
    assert dues("daily 02:30", "2026-03-28T12:00", 2) == ["2026-03-29T02:30", "2026-03-30T02:30"]
    assert dues("daily 02:30", "2026-10-24T12:00", 2) == ["2026-10-25T02:30", "2026-10-26T02:30"]


def test_weekly() -> None:
    assert dues("weekly sunday 03:00", "2026-11-22T02:59") == ["2026-11-22T03:00", "2026-11-29T03:00", "2026-12-06T03:00"]
    assert dues("weekly sunday 03:00", "2026-11-22T03:00", 1) == ["2026-11-29T03:00"]
    assert dues("weekly monday 03:00", "2026-11-22T02:59", 1) == ["2026-11-23T03:00"]


def test_monthly_on_the_31st_is_the_last_day_of_every_month() -> None:
    found = dues("monthly 31 01:00", "2027-12-31T01:00", 12)
    assert [due[5:10] for due in found] == [
        *("01-31", "02-29", "03-31", "04-30", "05-31", "06-30"),
        *("07-31", "08-31", "09-30", "10-31", "11-30", "12-31"),
    ]


def test_monthly_on_the_29th_and_30th_in_leap_years_and_others() -> None:
    assert dues("monthly 29 01:00", "2026-02-01T00:00", 2) == ["2026-02-28T01:00", "2026-03-29T01:00"]
    assert dues("monthly 29 01:00", "2028-02-01T00:00", 2) == ["2028-02-29T01:00", "2028-03-29T01:00"]
    assert dues("monthly 30 01:00", "2028-02-01T00:00", 2) == ["2028-02-29T01:00", "2028-03-30T01:00"]
    assert dues("monthly 1 01:00", "2026-12-01T01:00", 2) == ["2027-01-01T01:00", "2027-02-01T01:00"]


def test_cron_on_the_31st_skips_shorter_months() -> None:
    assert dues("0 0 31 * *", "2026-01-31T00:00") == ["2026-03-31T00:00", "2026-05-31T00:00", "2026-07-31T00:00"]


def test_cron_on_leap_days_skips_1900s_and_2100() -> None:
    assert dues("0 0 29 2 *", "2026-01-01T00:00", 2) == ["2028-02-29T00:00", "2032-02-29T00:00"]
    assert dues("0 0 29 2 *", "2096-03-01T00:00", 1) == ["2104-02-29T00:00"]
    assert dues("0 0 29 2 */7", "2088-03-01T00:00", 1) == ["2128-02-29T00:00"]


@pytest.mark.parametrize("sunday", ["0", "7", "sun"])
def test_both_sundays(sunday: str) -> None:
    assert dues(f"0 3 * * {sunday}", "2026-11-20T00:00", 2) == ["2026-11-22T03:00", "2026-11-29T03:00"]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("*/20 5 * * *", ["2026-11-20T05:00", "2026-11-20T05:20", "2026-11-20T05:40"]),
        ("10,50 5-6 * * *", ["2026-11-20T05:10", "2026-11-20T05:50", "2026-11-20T06:10"]),
        ("0 0 * jan-feb mon", ["2027-01-04T00:00", "2027-01-11T00:00", "2027-01-18T00:00"]),
        ("0 0 1-10/4 12 *", ["2026-12-01T00:00", "2026-12-05T00:00", "2026-12-09T00:00"]),
        ("0 0 25 * mon", ["2026-11-23T00:00", "2026-11-25T00:00", "2026-11-30T00:00"]),
        ("0 0 1-31 * mon", ["2026-11-21T00:00", "2026-11-22T00:00", "2026-11-23T00:00"]),
        ("0 0 25 * 0-6", ["2026-11-21T00:00", "2026-11-22T00:00", "2026-11-23T00:00"]),
        ("0 0 */2 * mon", ["2026-11-23T00:00", "2026-12-07T00:00", "2026-12-21T00:00"]),
    ],
)
def test_cron_lists_ranges_steps_names_and_the_rule_of_day_or_weekday(expression: str, found: list[str]) -> None:
    assert dues(expression, "2026-11-20T00:00") == found


def test_a_due_time_is_later_than_what_it_is_after_and_in_utc() -> None:
    east = timezone(timedelta(hours=9))
    for text in ("daily 00:30", "30 0 * * *"):
        due = next_due(parse_schedule(text), datetime(2026, 11, 22, 9, 30, tzinfo=east))
        assert due == at("2026-11-23T00:30")
        assert due.tzinfo is UTC
        assert next_due(parse_schedule(text), at("2026-11-22T00:29:59.999999")) == at("2026-11-22T00:30")
        assert next_due(parse_schedule(text), at("2026-11-22T00:30:00.000001")) == at("2026-11-23T00:30")


def test_between_leaves_the_first_moment_out_and_takes_the_last_in() -> None:
    for text in ("daily 00:30", "30 0 * * *"):
        schedule = parse_schedule(text)
        found = list(due_between(schedule, at("2026-01-01T00:30"), at("2026-01-03T00:30")))
        assert found == [at("2026-01-02T00:30"), at("2026-01-03T00:30")]
        assert list(due_between(schedule, at("2026-01-01T00:30"), at("2026-01-01T00:30"))) == []


def test_a_moment_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="aware"):
        next_due(Off(), datetime(2026, 1, 1))  # noqa: DTZ001


@pytest.mark.parametrize(
    "text", ["daily 00:00", "weekly monday 00:00", "monthly 31 00:00", "0 0 * * *", "0 0 29 2 *", "0 0 31 12 fri"]
)
def test_the_calendar_ends_without_an_error(text: str) -> None:
    schedule = parse_schedule(text)
    assert list(due_between(schedule, at("9999-12-31T00:00"), at("9999-12-31T23:59"))) == []
    assert next_due(schedule, at("9999-12-31T23:59:59")) is None
    assert len(next_dues(schedule, at("9999-10-30"), 1000)) < 1000


def field(low: int, high: int, *, restricted: bool = False) -> st.SearchStrategy[str]:
    """Any text for a field of these bounds."""
    value = st.integers(low, high)
    ranges = st.tuples(value, value).map(lambda ends: f"{min(ends)}-{max(ends)}")
    stepped = st.tuples(ranges, st.integers(1, high - low)).map(lambda parts: f"{parts[0]}/{parts[1]}")
    lists = st.lists(value.map(str) | ranges | stepped, min_size=1, max_size=3).map(",".join)
    stars = st.just("*") | st.integers(1, high - low).map(lambda step: f"*/{step}")
    return lists if restricted else lists | stars


hours_and_days = st.tuples(field(0, 23), field(1, 31), st.just("*") | field(1, 12), st.just("*") | field(0, 7))
crons = st.tuples(field(0, 59), hours_and_days).map(lambda parts: " ".join((parts[0], *parts[1])))
moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
times = st.times().map(lambda time: f"{time:%H:%M:%S}")
weekdays = st.sampled_from(["monday", "wednesday", "sunday"])
simple = (
    times.map(lambda time: f"daily {time}")
    | st.tuples(weekdays, times).map(lambda parts: f"weekly {parts[0]} {parts[1]}")
    | st.tuples(st.integers(1, 31), times).map(lambda parts: f"monthly {parts[0]} {parts[1]}")
)
relaxed = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])


def known(text: str) -> Schedule | None:
    try:
        return parse_schedule(text)
    except InvalidInput as exc:
        # The only reason for a text of this grammar.
        assert "never fires" in exc.message  # noqa: PT017
        return None


@relaxed
@given(simple | crons, moments)
def test_due_times_are_aware_utc_and_strictly_increase(text: str, after: datetime) -> None:
    schedule = known(text)
    if schedule is None:
        return
    found = next_dues(schedule, after, 5)
    assert len(found) == 5
    assert all(earlier < later for earlier, later in pairwise([after, *found]))
    assert all(due.tzinfo is UTC for due in found)


@relaxed
@given(simple | crons, moments)
def test_stepping_from_each_due_time_gives_the_same_as_all_at_once(text: str, after: datetime) -> None:
    schedule = known(text)
    if schedule is None:
        return
    stepped, moment = [], after
    for _ in range(4):
        due = next_due(schedule, moment)
        assert due is not None
        stepped.append(due)
        moment = due
    assert stepped == next_dues(schedule, after, 4)


@relaxed
@given(crons, moments)
def test_cron_is_due_in_exactly_the_minutes_that_match(text: str, after: datetime) -> None:
    """Two ways to the same answer: croniter's search, and asking the grammar about each minute of two days."""
    schedule = known(text)
    if schedule is None:
        return
    assert isinstance(schedule, Cron)
    start = after.replace(second=0, microsecond=0)
    minutes = [start + MINUTE * number for number in range(1, 2 * 1440 + 1)]
    expected = [minute for minute in minutes if parse_cron(text).matches(minute)]
    assert list(due_between(schedule, after, minutes[-1])) == expected
