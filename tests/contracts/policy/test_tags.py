"""Tags that people give and tags that time gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.policy.tags import MOST_TAGS, check_user_tags, iso_week, time_tags
from tests.contracts.policy.histories import moment, relaxed


@pytest.mark.parametrize("good", ["a", "before-migration", "v1:2_x", "A" * 24, "7"])
def test_user_tags(good: str) -> None:
    assert check_user_tags([good]) == [good]


@pytest.mark.parametrize("bad", ["", "a" * 25, "a b", "a.b", "ä", "a\n", "a/b", "daily", "weekly", "monthly", "Daily"])
def test_what_no_person_may_give_is_refused_by_field(bad: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_user_tags(["fine", bad], "tags")
    assert caught.value.code == "input.invalid"
    assert caught.value.field == "tags"


def test_each_tag_counts_once_and_there_is_a_bound() -> None:
    assert check_user_tags(["b", "a", "b"]) == ["a", "b"]
    with pytest.raises(InvalidInput):
        check_user_tags([f"tag-{number}" for number in range(MOST_TAGS + 1)])


@pytest.mark.parametrize(
    ("previous", "at", "tags"),
    [
        ([], "2026-03-18T00:30", ["daily", "weekly", "monthly"]),
        (["2026-03-17T00:30"], "2026-03-18T00:30", ["daily"]),
        (["2026-03-22T00:30"], "2026-03-23T00:30", ["daily", "weekly"]),
        (["2026-03-31T00:30"], "2026-04-01T00:30", ["daily", "monthly"]),
        (["2026-05-31T00:30"], "2026-06-01T00:30", ["daily", "weekly", "monthly"]),
        (["2024-12-30T00:30"], "2025-01-01T00:30", ["daily", "monthly"]),
        (["2025-01-01T00:30"], "2025-12-29T00:30", ["daily", "weekly", "monthly"]),
        (["2025-12-29T00:30"], "2026-01-01T00:30", ["daily", "monthly"]),
        (["2025-03-18T00:30"], "2026-03-18T00:30", ["daily", "weekly", "monthly"]),
        (["2026-03-18T12:00"], "2026-03-17T00:30", ["daily"]),
    ],
)
def test_time_tags(previous: list[str], at: str, tags: list[str]) -> None:
    assert time_tags(map(moment, previous), moment(at)) == tags


def test_periods_are_those_of_utc() -> None:
    east = timezone(timedelta(hours=9))
    assert time_tags([moment("2026-05-31T10:00")], datetime(2026, 6, 1, 8, tzinfo=east)) == ["daily"]


@relaxed
@given(st.lists(st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2030, 1, 1), timezones=st.just(UTC))))  # noqa: DTZ001
def test_each_week_and_month_has_exactly_one_carrier_and_the_newest_previous_is_enough(moments: list[datetime]) -> None:
    moments = sorted(set(moments))
    tags = [time_tags(moments[:number], at) for number, at in enumerate(moments)]
    assert tags == [time_tags(moments[max(0, number - 1) : number], at) for number, at in enumerate(moments)]
    assert sum("weekly" in each for each in tags) == len({iso_week(at) for at in moments})
    assert sum("monthly" in each for each in tags) == len({(at.year, at.month) for at in moments})
    assert all("daily" in each for each in tags)
