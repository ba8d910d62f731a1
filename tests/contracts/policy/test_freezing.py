"""When retention holds still."""

from __future__ import annotations

import pytest

from contracts.policy.freeze import FreezeCause
from contracts.policy.freezing import find_freeze
from contracts.policy.retention import RunFacts
from contracts.records import RunState
from tests.contracts.policy.histories import moment, run

NOW = moment("2026-01-31T12:00")


def due(day: int, state: RunState = RunState.COMPLETED, size_bytes: int = 100) -> RunFacts:
    return run(f"2026-01-{day:02}T00:30", ["daily"], is_automatic=True, state=state, size_bytes=size_bytes)


def cause(*newest_first: RunFacts, factor: float = 0.5) -> FreezeCause | None:
    freeze = find_freeze(newest_first, factor, NOW)
    return freeze.cause if freeze else None


def test_a_healthy_history_is_free() -> None:
    assert cause(*(due(day) for day in range(30, 0, -1))) is None
    assert cause() is None


def test_a_failed_or_missed_newest_due_run_freezes() -> None:
    assert cause(due(30, RunState.FAILED), due(29)) is FreezeCause.RUN_FAILED
    assert cause(due(30, RunState.MISSED), due(29)) is FreezeCause.RUN_MISSED


def test_the_next_due_run_that_completes_frees_it() -> None:
    assert cause(due(31), due(30, RunState.FAILED), due(29)) is None


def test_a_completed_one_that_is_being_deleted_was_healthy() -> None:
    assert cause(due(31, RunState.DELETING), due(30, RunState.FAILED)) is None


@pytest.mark.parametrize("state", [RunState.REQUESTED, RunState.RUNNING, RunState.CANCELLED])
def test_what_has_not_ended_or_was_cancelled_says_nothing(state: RunState) -> None:
    assert cause(due(31, state), due(30, RunState.FAILED), due(29)) is FreezeCause.RUN_FAILED
    assert cause(due(31, state), due(30)) is None


def test_a_manual_run_says_nothing_about_the_schedule() -> None:
    assert cause(run("2026-01-31T09:00"), due(30, RunState.FAILED)) is FreezeCause.RUN_FAILED
    assert cause(run("2026-01-31T09:00", state=RunState.FAILED), due(30)) is None


def test_a_run_of_the_future_says_nothing() -> None:
    assert cause(run("2026-02-01T00:30", is_automatic=True, state=RunState.FAILED), due(31)) is None
    assert cause(run("2026-02-01T00:30", is_automatic=True, size_bytes=1), due(31), due(30)) is None


def test_the_newest_backup_is_measured_against_the_median_of_the_five_before() -> None:
    before = [due(30 - n, size_bytes=size) for n, size in enumerate((10, 100, 1000, 200, 90, 1, 1, 1))]
    assert cause(due(31, size_bytes=49), *before) is FreezeCause.SUSPICIOUS_SIZE
    assert cause(due(31, size_bytes=50), *before) is None


def test_a_manual_backup_can_be_suspicious_too_and_failed_runs_have_no_size() -> None:
    assert cause(run("2026-01-31T09:00", size_bytes=1), due(30), due(29)) is FreezeCause.SUSPICIOUS_SIZE
    assert cause(due(31), due(30, RunState.FAILED, 0), due(29, RunState.FAILED, 0), due(28)) is None


def test_the_first_backup_cannot_be_suspicious() -> None:
    assert cause(due(31, size_bytes=0)) is None


def test_a_database_that_stays_small_is_usual_after_three_more_backups() -> None:
    shrunk = [due(31 - n, size_bytes=10) for n in range(4)]
    normal = [due(20 - n) for n in range(5)]
    assert cause(*shrunk[:3], *normal) is FreezeCause.SUSPICIOUS_SIZE
    assert cause(*shrunk, *normal) is None


def test_the_factor_is_configurable_and_0_switches_it_off() -> None:
    runs = (due(31, size_bytes=80), due(30), due(29))
    assert cause(*runs, factor=0.9) is FreezeCause.SUSPICIOUS_SIZE
    assert cause(*runs, factor=0.8) is None
    assert cause(due(31, size_bytes=0), due(30), factor=0) is None
