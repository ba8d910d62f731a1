"""Failed attempts are limited, one address apart from another."""

from __future__ import annotations

import pytest

from contracts.errors import Unavailable
from daemon.access.attempts import FailedAttempts


def fail(attempts: FailedAttempts, address: str, times: int, at_s: float = 0.0) -> None:
    for _ in range(times):
        attempts.check(address, at_s)
        attempts.note(address, at_s)


def test_ten_failures_are_suffered_and_the_next_is_not_even_looked_at() -> None:
    attempts = FailedAttempts()
    fail(attempts, "192.0.2.1", 10)
    with pytest.raises(Unavailable, match="wait a minute") as told:
        attempts.check("192.0.2.1", 0.0)
    assert told.value.code == "access.limited"


def test_another_address_is_not_held_up() -> None:
    attempts = FailedAttempts()
    fail(attempts, "192.0.2.1", 10)
    attempts.check("192.0.2.2", 0.0)


def test_patience_comes_back_one_attempt_every_six_seconds() -> None:
    attempts = FailedAttempts()
    fail(attempts, "192.0.2.1", 10)
    fail(attempts, "192.0.2.1", 1, at_s=6.0)
    with pytest.raises(Unavailable):
        attempts.check("192.0.2.1", 6.5)
    fail(attempts, "192.0.2.1", 10, at_s=70.0)


def test_many_addresses_do_not_fill_the_memory() -> None:
    attempts = FailedAttempts()
    fail(attempts, "192.0.2.1", 10)
    for number in range(10_000):
        attempts.note(f"2001:db8::{number:x}", 0.0)
    attempts.check("192.0.2.1", 0.0)  # forgotten, as the one that failed longest ago
