"""Sizes are read as people write them, and limits are told as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from daemon.cli.sizes import limit_size, limit_words, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1048576", 1_048_576),
        ("20GB", 20_000_000_000),
        ("20 gb", 20_000_000_000),
        ("500MiB", 500 * 1024**2),
        ("1.5KB", 1500),
        ("1TiB", 1024**4),
        ("9007199254740993", 2**53 + 1),
        ("7B", 7),
    ],
)
def test_units_are_of_1000_and_of_1024(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "big", "-1", "1XB", "1e9", "GB", "1 2GB", "1k", "inf"])
def test_what_is_no_size_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_size(text, "quota")
    assert raised.value.field == "quota"
    assert raised.value.message.startswith(f"quota {text!r} is not a size such as ")


def test_limits_are_told_in_the_unit_that_they_are_whole_in() -> None:
    assert [limit_size(count) for count in (5 * 10**9, 1024**4, 1_500_000, 123_456_789)] == [
        "5 GB",
        "1 TiB",
        "1.43 MiB",
        "118 MiB",
    ]
    assert limit_words(5 * 10**9) == "5 GB (4.66 GiB)"
    assert limit_words(1024**4) == "1 TiB"
    assert limit_words(123_456_789) == "118 MiB"


@given(st.integers(min_value=1, max_value=999), st.sampled_from(["MB", "GB", "TB", "MiB", "GiB", "TiB"]))
def test_a_limit_that_was_written_is_told_as_the_same_size(number: int, unit: str) -> None:
    assert parse_size(limit_size(parse_size(f"{number}{unit}"))) == parse_size(f"{number}{unit}")
