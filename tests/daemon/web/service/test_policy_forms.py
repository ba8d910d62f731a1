"""The editors of schedules and retention: what a form says is what is saved, and what it says is what comes of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.policy.retention_policy import Maximums, Minimums, Per, RetentionPolicy
from contracts.policy.schedule import Cron, Daily, Monthly, Off, Schedule, Weekday, Weekly
from daemon.web.forms import Form
from daemon.web.service.calendar_picture import play_calendar
from daemon.web.service.retention_form import read_policy, retention_form
from daemon.web.service.schedule_form import preview, read_schedule, schedule_form

NOW = datetime(2027, 3, 10, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    "schedule",
    [
        None,
        Off(),
        Daily(at="03:30:15"),
        Weekly(day=Weekday.TUESDAY, at="23:59"),
        Monthly(day=31, at="00:00"),
        Cron(expression="*/5 0-3 * * mon"),
    ],
)
def test_a_schedule_is_read_back_from_its_form(schedule: Schedule | None) -> None:
    assert read_schedule(schedule_form("acme", "orders", schedule)) == schedule


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"choice": "hourly"}, "schedule.choice"),
        ({"choice": "daily", "at": "25:00"}, "schedule.at"),
        ({"choice": "weekly", "at": "01:00", "weekday": "noday"}, "schedule.weekday"),
        ({"choice": "monthly", "at": "01:00", "day": "0"}, "schedule.day"),
        ({"choice": "monthly", "at": "01:00", "day": "\u0661"}, "schedule.day"),
        ({"choice": "cron", "expression": "@daily"}, "schedule.expression"),
    ],
)
def test_a_schedule_that_cannot_be_names_its_field(values: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInput) as told:
        read_schedule(Form.filled(**values))
    assert told.value.field == field


def test_a_preview_has_words_and_the_next_five_times() -> None:
    shown = preview(Weekly(day=Weekday.SUNDAY, at="03:30"), RetentionPolicy(), NOW)
    assert shown.words == "every Sunday at 03:30"
    assert shown.next == [datetime(2027, 3, 14, 3, 30, tzinfo=UTC) + timedelta(weeks=each) for each in range(5)]
    assert shown.reach == ""


def test_a_preview_says_how_short_frequent_backups_reach_back() -> None:
    every_ten_minutes = Cron(expression="*/10 * * * *")
    assert (
        "the 50 backups that retention keeps reach back about 8 hours"
        in preview(every_ten_minutes, RetentionPolicy(), NOW).reach
    )
    assert preview(every_ten_minutes, RetentionPolicy(total_count=None), NOW).reach == ""
    assert preview(Off(), RetentionPolicy(), NOW).reach == ""


_counts = st.integers(0, 1_000_000)
_policies = st.builds(
    RetentionPolicy,
    protected_tags=st.lists(st.from_regex(r"\A[A-Za-z0-9:_-]{1,24}\Z"), unique=True, max_size=5),
    minimums=st.builds(Minimums, daily=_counts, weekly=_counts, monthly=_counts),
    maximums=st.builds(Maximums, daily=_counts, weekly=_counts, monthly=_counts),
    total_count=st.none() | st.integers(1, 1_000_000),
    total_size_bytes=st.none() | st.integers(1, 2**63 - 1),
    per=st.sampled_from(Per),
    suspicious_size_factor=st.integers(0, 100).map(lambda percent: percent / 100),
)


@given(_policies)
def test_every_policy_is_read_back_from_its_form(policy: RetentionPolicy) -> None:
    assert read_policy(retention_form(policy)) == policy


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"protected_tags": "no/slashes"}, "protected_tags"),
        ({"min-daily": "-1"}, "min-daily"),
        ({"max-monthly": "many"}, "max-monthly"),
        ({"max-weekly": "1000001"}, "max-weekly"),
        ({"total_count": "0"}, "total_count"),
        ({"total_size_bytes": "20 parsecs"}, "total_size_bytes"),
        ({"per": "fortnight"}, "per"),
        ({"suspicious_percent": "nan"}, "suspicious_percent"),
        ({"suspicious_percent": "101"}, "suspicious_percent"),
    ],
)
def test_a_policy_that_cannot_be_names_the_field_of_the_form(values: dict[str, str], field: str) -> None:
    blank = retention_form(RetentionPolicy())
    with pytest.raises(InvalidInput) as told:
        read_policy(Form({**blank.values, **{name: [value] for name, value in values.items()}}))
    assert told.value.field == field


def test_a_calendar_has_a_square_for_each_day_and_tells_what_is_left() -> None:
    calendar = play_calendar(Daily(at="00:30"), RetentionPolicy(), now=NOW, days=90, size_bytes=10)
    days = [day for month in calendar.months for day in month.days]
    assert [day.day for day in days] == [NOW.date() + timedelta(days=each) for each in range(90)]
    assert (calendar.made, calendar.kept, calendar.kept_bytes) == (90, 50, 500)
    assert dict(calendar.by_class)["daily"] + dict(calendar.by_class)["weekly"] + dict(calendar.by_class)["monthly"] == 50
    words = {day.day.isoformat(): (day.look, day.words) for day in days}
    assert words["2027-03-11"] == ("expired", "Thursday 2027-03-11: 1 backup made, none kept")
    assert words["2027-04-01"] == ("monthly", "Thursday 2027-04-01: kept: 1 monthly")
    assert words["2027-06-06"] == ("daily", "Sunday 2027-06-06: kept: 1 daily")
    april = next(month for month in calendar.months if month.name == "April 2027")
    assert april.made == 30
    assert "April 2027: 30 backups made, kept at the end:" in april.words


def test_the_squares_of_a_month_lie_in_weeks_that_begin_on_monday() -> None:
    calendar = play_calendar(Daily(at="00:30"), RetentionPolicy(), now=NOW, days=90, size_bytes=10)
    for month in calendar.months:
        assert month.days[0].y == 0
        for day in month.days:
            assert day.x == day.day.weekday() * 16
            assert 0 <= day.x < month.width
            assert 0 <= day.y < month.height
        assert len({(day.x, day.y) for day in month.days}) == len(month.days)


def test_a_day_of_many_runs_shows_the_highest_class_and_how_many_are_left() -> None:
    policy = RetentionPolicy(total_count=30)
    calendar = play_calendar(Cron(expression="0 */6 * * *"), policy, now=NOW, days=30, size_bytes=10)
    last = calendar.months[-1].days[-1]
    assert last.words.endswith("kept: 4 daily")
    assert last.letter == "D"


def test_a_schedule_that_is_off_is_played_as_if_it_were_daily_and_says_so() -> None:
    calendar = play_calendar(Off(), RetentionPolicy(), now=NOW, days=30, size_bytes=10)
    assert calendar.is_imagined
    assert calendar.made == 30


@pytest.mark.parametrize("policy", [RetentionPolicy(), RetentionPolicy(total_count=None, total_size_bytes=10**15)])
def test_so_frequent_a_schedule_that_it_would_take_long_is_played_for_fewer_days(policy: RetentionPolicy) -> None:
    calendar = play_calendar(Cron(expression="* * * * *"), policy, now=NOW, days=365, size_bytes=10)
    assert calendar.shortened_from == 365
    assert 1 <= calendar.days < 365
    assert calendar.made == calendar.days * 1440
