"""Histories played through: the same each time, and as the rule has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.policy.retention import Maximums, Minimums, RetentionPolicy, plan
from contracts.policy.simulation import MOST_RUNS, Circumstances, Simulation, play, simulate
from contracts.records import RunState
from tests.contracts.policy.histories import moment, policies, relaxed, run

START = moment("2024-01-01")


def hourly(step: int) -> Iterator[datetime]:
    """Endless due times, the first at the start."""
    due = START
    while True:
        yield due
        due += timedelta(hours=step)


def played(step: int = 24, policy: RetentionPolicy | None = None, **circumstances: Any) -> Simulation:
    given = Circumstances(start=START, **circumstances)
    return simulate(bounded(step, given), policy or RetentionPolicy(), given)


def bounded(step: int, given: Circumstances) -> Iterator[datetime]:
    for due in hourly(step):
        if due > given.end:
            return
        yield due


def test_400_daily_runs_keep_what_one_plan_over_all_of_them_keeps() -> None:
    simulation = played(days=400)
    assert Counter(str(each.backup_class) for each in simulation.final.kept) == {"daily": 40, "weekly": 7, "monthly": 3}
    assert len(simulation.expired) == 350
    everything = [each.run for each in [*simulation.final.kept, *simulation.expired]]
    at_once = plan(everything, RetentionPolicy(), START + timedelta(days=400))
    assert [each.run.id for each in at_once.kept] == [each.run.id for each in simulation.final.kept]


def test_every_day_says_what_was_there_at_its_end() -> None:
    policy = RetentionPolicy(minimums=Minimums(daily=2, weekly=1, monthly=0), total_count=3)
    simulation = played(days=10, policy=policy, size_bytes=7)
    assert [day.day for day in simulation.days] == [date(2024, 1, 1) + timedelta(days=n) for n in range(10)]
    assert [day.kept_count for day in simulation.days] == [1, 2, 3] + [3] * 7
    for day in simulation.days:
        kept = simulation.kept_on(day.day)
        assert len(kept) == day.kept_count
        assert day.kept_bytes == 7 * len(kept)
    assert simulation.kept_on(date(2024, 1, 10)) == {each.run.id for each in simulation.final.kept}
    assert [len(day.expired) for day in simulation.days] == [0, 0, 0] + [1] * 7


@relaxed
@given(policies(), st.integers(1, 60), st.sampled_from([6, 24, 24 * 7]), st.integers(0, 3), st.none() | st.integers(1, 9))
def test_it_is_deterministic_complete_and_ends_with_a_plan_that_expires_nothing(
    policy: RetentionPolicy, days: int, step: int, seed: int, manual: int | None
) -> None:
    given = Circumstances(
        start=START, days=days, seed=seed, manual_every_days=manual, failure_percent=20, spread_percent=60, growth_percent=1
    )
    simulation = simulate(bounded(step, given), policy, given)
    assert simulation == simulate(bounded(step, given), policy, given)
    assert simulation.final.expired == []
    made = {each for day in simulation.days for each in day.made}
    kept = {each.run.id for each in simulation.final.kept}
    expired = [each.run.id for each in simulation.expired]
    assert kept | set(expired) == made
    assert len(kept) + len(expired) == len(made)
    assert len(simulation.days) == days


def test_the_seed_decides_chance_and_one_circumstance_leaves_the_others() -> None:
    def sizes(**circumstances: Any) -> list[int]:
        simulation = played(days=40, spread_percent=50, policy=RetentionPolicy(total_count=None), **circumstances)
        return [each.run.size_bytes for each in simulation.final.kept if each.run.automatic]

    assert sizes(seed=1) == sizes(seed=1)
    assert sizes(seed=1) != sizes(seed=2)
    assert sizes(seed=1) == sizes(seed=1, manual_every_days=3)


def test_sizes_grow_from_the_first_and_stay_within_the_spread() -> None:
    policy = RetentionPolicy(total_count=None)
    kept = played(days=11, policy=policy, size_bytes=1000, growth_percent=10).final.kept
    assert [each.run.size_bytes for each in reversed(kept)] == [1000 + 100 * n for n in range(11)]
    spread = played(days=200, policy=policy, size_bytes=1000, spread_percent=20).final.kept
    assert 800 <= min(each.run.size_bytes for each in spread) < 850
    assert 1150 < max(each.run.size_bytes for each in spread) <= 1200
    shrunk = played(days=30, policy=policy, size_bytes=1000, growth_percent=-10).final.kept
    assert shrunk[0].run.size_bytes == 1


def test_failures_are_told_not_tagged_and_not_kept() -> None:
    simulation = played(days=300, failure_percent=30, policy=RetentionPolicy(total_count=None))
    failed = [day.day for day in simulation.days if day.failed]
    assert 60 < len(failed) < 120
    first_weeks = {each.run.at.date() for each in simulation.final.kept if "weekly" in each.run.tags}
    assert any(day.weekday() != 0 for day in first_weeks), "the first successful one of a week is not always Monday's"
    assert not first_weeks & set(failed)
    assert played(days=5, failure_percent=100).final.kept == []


def test_manual_backups_have_their_own_tags_and_classes() -> None:
    simulation = played(days=60, manual_every_days=20, manual_tags=["protected"])
    manual = [each for each in simulation.final.kept if not each.run.automatic]
    assert [f"{each.run.at:%m-%d %H:%M}" for each in reversed(manual)] == ["01-20 12:34", "02-09 12:34", "02-29 12:34"]
    assert {each.backup_class for each in manual} == {"protected"}
    assert all(list(each.run.tags) == ["protected"] for each in manual)


def test_a_manual_backup_after_a_failed_run_frees_nothing() -> None:
    runs = [
        *(run(f"2024-01-{day:02}T00:30", is_automatic=True) for day in (1, 2, 3)),
        run("2024-01-04T00:30", is_automatic=True, state=RunState.FAILED),
        run("2024-01-04T09:00"),
        run("2024-01-05T00:30", is_automatic=True),
    ]
    policy = RetentionPolicy(minimums=Minimums(daily=1, weekly=0, monthly=0), total_count=2)
    simulation = play(runs, policy, start=START, end=moment("2024-01-06"))
    assert [day.kept_count for day in simulation.days] == [1, 2, 2, 3, 2]
    frozen = simulation.days[3].freeze
    assert frozen is not None
    assert frozen.run_id == "2024-01-04T00:30"
    assert all(simulation.days[n].freeze is None for n in (0, 1, 2, 4))


def test_given_runs_are_played_as_they_are() -> None:
    """What really happened can be compared with what should have been kept."""
    runs = [run(f"2024-01-{day:02}T00:30", is_automatic=True, size_bytes=day) for day in range(1, 20)]
    policy = RetentionPolicy(minimums=Minimums(daily=0, weekly=0, monthly=0), maximums=Maximums(daily=4), total_count=None)
    simulation = play(runs, policy, start=START, end=moment("2024-01-20"))
    assert Counter(str(each.backup_class) for each in simulation.final.kept) == {"daily": 4, "weekly": 2, "monthly": 1}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("days", 0),
        ("size_bytes", -1),
        ("growth_percent", float("nan")),
        ("spread_percent", 101.0),
        ("failure_percent", -1.0),
        ("manual_every_days", 0),
        ("manual_tags", ["daily"]),
        ("start", moment("1969-12-31")),
    ],
)
def test_impossible_circumstances_are_refused_by_field(field: str, value: object) -> None:
    with pytest.raises(InvalidInput) as caught:
        msgspec.structs.replace(Circumstances(start=START, days=1), **{field: value})
    assert caught.value.field == field


def test_too_many_runs_are_refused() -> None:
    minutes = (START + timedelta(minutes=number) for number in range(MOST_RUNS + 1))
    with pytest.raises(InvalidInput, match="fewer days"):
        simulate(minutes, RetentionPolicy(), Circumstances(start=START, days=400))
