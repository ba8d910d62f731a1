"""Locks in the object store: how long, by which clock, and what retention makes of them."""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.policy.locking import LockDays, bounded, check_clocks, counts_from, wanted_until
from contracts.policy.making_room import plan_room
from contracts.policy.retention import Decision, Maximums, Minimums, RetentionPolicy, Rule, RunFacts, plan
from contracts.policy.simulation import Circumstances, simulate
from tests.contracts.policy.histories import NOW, histories, moment, policies, relaxed, run

NOTHING = Minimums(daily=0, weekly=0, monthly=0)
START = moment("2025-01-01")
FEW_MINUTES = timedelta(minutes=5)


def locked(runs: list[RunFacts], days: list[int]) -> list[RunFacts]:
    return [
        msgspec.structs.replace(each, locked_until=wanted_until(each.at, days[number % len(days)]))
        for number, each in enumerate(runs)
    ]


@relaxed
@given(histories(), policies(), st.lists(st.integers(0, 60), min_size=1, max_size=7))
def test_a_locked_backup_never_expires_and_a_second_plan_expires_nothing(
    runs: list[RunFacts], policy: RetentionPolicy, days: list[int]
) -> None:
    planned = plan(locked(runs, days), policy, NOW)
    for verdict in planned.expired:
        assert verdict.run.locked_until is None or verdict.run.locked_until <= NOW
    left = [verdict.run for verdict in planned.verdicts if verdict.decision is not Decision.EXPIRE]
    if planned.freeze is None:
        assert plan(left, policy, NOW).expired == []


@relaxed
@given(histories(), policies(), st.lists(st.integers(0, 60), min_size=1, max_size=7))
def test_locks_that_have_ended_change_nothing(runs: list[RunFacts], policy: RetentionPolicy, days: list[int]) -> None:
    later = NOW + timedelta(days=70)
    assert [verdict.rule for verdict in plan(locked(runs, days), policy, later).verdicts] == [
        verdict.rule for verdict in plan(runs, policy, later).verdicts
    ]


def test_a_plan_says_until_when_a_backup_is_locked() -> None:
    held = msgspec.structs.replace(run("2026-11-20"), locked_until=moment("2026-12-20T00:05"))
    (verdict,) = plan([held], RetentionPolicy(minimums=NOTHING), NOW).verdicts
    assert (verdict.rule, verdict.decision) == (Rule.LOCKED, Decision.KEEP)
    assert verdict.reason == "locked in the object store until 2026-12-20 00:05 UTC"


def test_what_is_locked_has_its_place_in_the_totals() -> None:
    """Its bytes are there whatever a limit says, so the others have to make room."""
    old = msgspec.structs.replace(run("2026-11-01"), locked_until=moment("2026-12-20"))
    newer = [run("2026-11-20"), run("2026-11-21")]
    planned = plan([old, *newer], RetentionPolicy(minimums=NOTHING, total_count=2), NOW)
    assert [verdict.run.id for verdict in planned.kept] == ["2026-11-21", "2026-11-01"]


def test_no_room_is_made_of_what_is_locked() -> None:
    runs = locked([run("2026-11-20"), run("2026-11-21")], [30])
    assert plan_room({"orders": plan(runs, RetentionPolicy(minimums=NOTHING), NOW)}, 50, "orders") == []


@relaxed
@given(
    st.builds(LockDays, every=st.integers(0, 20), daily=st.integers(0, 30), weekly=st.integers(0, 60)),
    st.integers(1, 20),
    st.sampled_from([12, 24, 24 * 7]),
    st.integers(0, 3),
)
def test_a_year_with_locks_deletes_nothing_locked_and_frees_everything_else(
    lock_days: LockDays, total: int, step: int, seed: int
) -> None:
    policy = RetentionPolicy(minimums=NOTHING, maximums=Maximums(daily=5), total_count=total, lock_days=lock_days)
    circumstances = Circumstances(start=START, days=365, seed=seed, manual_every_days=30)
    dues = [START + timedelta(hours=step) * number for number in range(365 * 24 // step)]
    simulation = simulate(dues, policy, circumstances)
    made_last = max(verdict.run.at for verdict in simulation.final.verdicts)
    kept = simulation.final.kept
    # Deletions follow backups, so each happened at the latest when the newest was made that day.
    for day in simulation.days:
        for verdict in simulation.expired:
            if verdict.run.id in day.expired and verdict.run.locked_until is not None:
                assert verdict.run.locked_until.date() <= day.day
    # At the newest backup nothing was left that neither a lock nor a limit kept.
    free = [each for each in kept if each.run.locked_until is None or each.run.locked_until <= made_last]
    assert len(free) <= total
    assert simulation.final.expired == [] or all(
        each.run.locked_until is not None and each.run.locked_until > made_last for each in simulation.final.expired
    )


def test_of_all_classes_that_apply_the_longest_lock_counts() -> None:
    days = LockDays(every=1, daily=7, weekly=5, monthly=30, protected=90)

    def of(*tags: str, automatic: bool = True) -> int:
        return days.of_backup(tags, automatic=automatic, protected_tags=["protected"])

    assert of(automatic=False) == 1
    assert of("release", automatic=False) == 1
    assert of() == of("daily") == 7
    assert of("daily", "weekly") == 7, "being promoted takes no lock away"
    assert of("daily", "weekly", "monthly") == 30
    assert of("protected", automatic=False) == 90


def test_more_than_ten_years_are_refused_by_name() -> None:
    with pytest.raises(InvalidInput) as refused:
        LockDays(monthly=36_500)
    assert refused.value.field == "retention.lock_days.monthly"


@pytest.mark.parametrize("own", ["2026-11-22T12:06", "2026-11-22T11:54", "2036-01-01", "1970-01-01"])
def test_clocks_that_disagree_lock_nothing(own: str) -> None:
    doubt = check_clocks(moment(own), NOW, FEW_MINUTES)
    assert doubt is not None
    assert "2026-11-22 12:00:00" in doubt.reason
    assert check_clocks(NOW + FEW_MINUTES, NOW, FEW_MINUTES) is None


_MOMENTS = st.integers(-50 * 365, 200 * 365).map(lambda days: NOW + timedelta(days=days, seconds=days))


@given(_MOMENTS, _MOMENTS, st.floats(0.0001, 3650))
def test_whatever_the_clock_of_an_agent_says_a_lock_is_never_longer_than_its_days_from_the_stores_own_moment(
    requested_at: datetime, finished_at: datetime, days: float
) -> None:
    until = wanted_until(counts_from(requested_at, finished_at, NOW), days)
    assert until is not None
    assert bounded(until, NOW, timedelta(days=days), FEW_MINUTES) <= NOW + timedelta(days=days, minutes=5, seconds=1)
    assert until <= NOW + timedelta(days=days, seconds=1)
    assert until.microsecond == 0
