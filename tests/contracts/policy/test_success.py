"""How well a schedule was kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import due_run_id
from contracts.policy.success import due_figures
from contracts.records import DueRecord, DueState
from tests.contracts.policy.histories import moment, relaxed

SINCE = moment("2026-11-01T00:00")
HOUR = timedelta(hours=1)
LETTERS = {
    "c": DueState.COMPLETED,
    "f": DueState.FAILED,
    "m": DueState.MISSED,
    "s": DueState.SKIPPED,
    "x": DueState.CANCELLED,
    "d": DueState.DUE,
    "r": DueState.REQUESTED,
}


def entries(states: Iterable[DueState], first_hour: int = 0) -> list[DueRecord]:
    """One an hour."""
    found = []
    for number, state in enumerate(states):
        due_at = SINCE + (first_hour + number) * HOUR
        run_id = due_run_id("acme", "orders", due_at)
        found.append(DueRecord(project="acme", service="orders", due_at=due_at, run_id=run_id, state=state, noted_at=due_at))
    return found


@pytest.mark.parametrize(
    ("ledger", "due", "rate"),
    [
        ("", 0, None),
        ("d", 0, None),
        ("dr", 0, None),
        ("c", 1, 1.0),
        ("cccr", 3, 1.0),
        ("m", 1, 0.0),
        ("cm", 2, 0.5),
        ("cf", 2, 0.5),
        ("cs", 2, 0.5),
        ("cx", 2, 0.5),
        ("cccmfsxxdr", 8, 0.375),
    ],
    ids=lambda value: str(value) or "empty",
)
def test_the_rate_is_completed_of_all_that_was_decided(ledger: str, due: int, rate: float | None) -> None:
    figures = due_figures(entries(LETTERS[letter] for letter in ledger), SINCE)
    assert (figures.due, figures.success_rate) == (due, rate)
    counted = (figures.completed, figures.failed, figures.missed, figures.skipped, figures.cancelled)
    assert counted == tuple(ledger.count(letter) for letter in "cfmsx")


def test_what_was_due_at_the_very_first_moment_counts_and_what_was_due_before_does_not() -> None:
    figures = due_figures(entries([DueState.MISSED, DueState.FAILED, DueState.COMPLETED], first_hour=-2), SINCE)
    assert (figures.due, figures.completed, figures.success_rate) == (1, 1, 1.0)
    assert figures.since == SINCE


ledgers = st.lists(st.sampled_from(DueState), max_size=60)


@relaxed
@given(ledgers, st.integers(-40, 0), st.randoms(use_true_random=False))
def test_every_decided_due_time_counts_once_whatever_the_order(
    states: list[DueState], first_hour: int, random: Random
) -> None:
    ledger = entries(states, first_hour)
    figures = due_figures(ledger, SINCE)
    counted = Counter({state: getattr(figures, state) for state in DueState if not state.is_open})
    assert figures.due == counted.total()
    assert counted == Counter(entry.state for entry in ledger if entry.due_at >= SINCE and not entry.state.is_open)
    random.shuffle(ledger)
    assert due_figures(ledger, SINCE) == figures


@relaxed
@given(ledgers)
def test_silence_lowers_the_rate_and_success_raises_it(states: list[DueState]) -> None:
    rate = due_figures(entries(states), SINCE).success_rate or 0.0
    missed = due_figures(entries([*states, DueState.MISSED]), SINCE).success_rate
    completed = due_figures(entries([*states, DueState.COMPLETED]), SINCE).success_rate
    assert missed is not None
    assert completed is not None
    assert 0.0 <= missed <= rate <= completed <= 1.0
