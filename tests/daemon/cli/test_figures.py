"""Figures as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.figures import ago, ahead, count, duration, percent, rate, ratio, size, stamp, when
from daemon.cli.plain_text import visible

NOW = datetime(2026, 11, 22, 0, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (1536, "1.50 KiB"),
        (15 * 1024**2, "15.0 MiB"),
        (1023 * 1024**2, "1.00 GiB"),
        (734 * 1024**3, "734 GiB"),
        (5 * 1024**4, "5.00 TiB"),
        (3 * 1024**6, "3072 PiB"),
    ],
)
def test_sizes_have_three_digits_and_binary_units(number: int, text: str) -> None:
    assert size(number) == text


@given(st.integers(min_value=0, max_value=1024**5))
def test_no_size_is_longer_than_eight_characters(number: int) -> None:
    assert len(size(number)) <= 8


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.94, "9.9 s"),
        (14.4, "14 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (11_520, "3 h 12 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations_name_their_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_are_utc_wherever_they_come_from() -> None:
    berlin = NOW.astimezone(timezone(timedelta(hours=1)))
    assert when(berlin) == "2026-11-22 00:05:12 UTC"
    assert stamp(berlin) == "2026-11-22 00:05:12"
    assert when(None) == stamp(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-60, "just now"), (3, "just now"), (59, "59 s ago"), (61, "1 min ago"), (7200, "2 h ago"), (864_000, "10 d ago")],
)
def test_ages_are_of_the_largest_unit(seconds: int, text: str) -> None:
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


def test_rates_ratios_and_counts() -> None:
    assert rate(88_184_000) == "84.1 MiB/s"
    assert ratio(520, 100) == "5.2x"
    assert ratio(0, 100) == ratio(100, 0) == ""
    assert [count(1, "node"), count(3, "node"), count(2, "entry", "entries")] == ["1 node", "3 nodes", "2 entries"]


def test_text_from_elsewhere_cannot_move_the_cursor() -> None:
    assert visible("orders") == "orders"
    assert visible("größe 注文") == "größe 注文"
    assert visible("a\x1b[2Jb\rc\u202ed\nz") == "a\\x1b[2Jb\\rc\\u202ed\\nz"
    assert visible("two\nlines\x07", one_line=False) == "two\nlines\\x07"


@given(st.text())
def test_what_is_visible_is_printable_on_one_line(text: str) -> None:
    assert visible(text).isprintable()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-60, "now"), (0.5, "now"), (59, "in 59 s"), (61, "in 1 min"), (7200, "in 2 h"), (864_000, "in 10 d")],
)
def test_what_comes_is_told_by_the_largest_unit(seconds: float, text: str) -> None:
    assert ahead(NOW + timedelta(seconds=seconds), NOW) == text


def test_a_percentage_says_all_or_none_only_where_it_is_so() -> None:
    shown = [percent(part, 1000) for part in (0, 1, 500, 999, 1000, 1200)]
    assert shown == ["0 %", "<1 %", "50 %", ">99 %", "100 %", "120 %"]
    assert percent(0, 0) == "0 %"
