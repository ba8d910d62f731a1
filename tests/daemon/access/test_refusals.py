"""The audit log hears of everyone who is not let in, and cannot be filled by them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.access.refusals import Refusals


def test_an_address_is_told_of_once_a_minute_with_how_often_it_knocked() -> None:
    refusals = Refusals()
    assert refusals.note("192.0.2.1", 0) == 1
    assert [refusals.note("192.0.2.1", at) for at in (1, 2, 59.9)] == [None, None, None]
    assert refusals.note("192.0.2.1", 60) == 4
    assert refusals.note("192.0.2.1", 61) is None


def test_addresses_are_told_of_apart() -> None:
    refusals = Refusals()
    assert [refusals.note(f"192.0.2.{number}", 0) for number in range(5)] == [1] * 5


def test_many_addresses_together_are_told_of_sixty_times_a_minute() -> None:
    refusals = Refusals()
    told = [refusals.note(f"10.{number >> 8}.{number & 255}.1", number / 100) for number in range(6_000)]
    assert 60 <= sum(each is not None for each in told) <= 121


@given(st.lists(st.tuples(st.integers(0, 30_000), st.floats(0, 5)), max_size=300))
def test_memory_is_bounded_and_nobody_is_told_of_twice_in_a_minute(knocks: list[tuple[int, float]]) -> None:
    refusals = Refusals()
    told: dict[str, float] = {}
    at = 0.0
    for number, wait in knocks:
        at += wait
        address = str(number)
        if refusals.note(address, at) is not None:
            assert at - told.get(address, -60) >= 60
            told[address] = at
    assert len(refusals._told) <= 10_000
