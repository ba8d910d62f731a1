"""What holds of every plan, whatever the history and the policy."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, timedelta
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.policy.retention import (
    BackupClass,
    Decision,
    Maximums,
    Per,
    RetentionPolicy,
    Rule,
    RunFacts,
    Verdict,
    plan,
)
from contracts.records import RunState
from tests.contracts.policy.histories import NOW, exploring, histories, policies, relaxed, repeat_until

LIMITED = (BackupClass.DAILY, BackupClass.WEEKLY, BackupClass.MONTHLY)


def healthy(runs: list[RunFacts]) -> list[RunFacts]:
    """Without the runs that would freeze retention."""
    return [run for run in runs if run.state not in (RunState.FAILED, RunState.MISSED)]


def ids(verdicts: list[Verdict]) -> set[str]:
    return {verdict.run.id for verdict in verdicts}


@relaxed
@given(histories(), policies())
def test_kept_and_expired_are_the_completed_ones_of_the_past_and_all_have_a_reason(
    runs: list[RunFacts], policy: RetentionPolicy
) -> None:
    planned = plan(runs, policy, NOW)
    completed = {run.id for run in runs if run.state is RunState.COMPLETED and run.at <= NOW}
    assert ids(planned.kept) | ids(planned.expired) == completed
    assert not ids(planned.kept) & ids(planned.expired)
    assert ids(planned.untouched) == {run.id for run in runs} - completed
    assert len(planned.verdicts) == len(runs)
    assert all(verdict.reason for verdict in planned.verdicts)


@relaxed
@given(histories(), policies())
def test_protected_ones_are_always_kept(runs: list[RunFacts], policy: RetentionPolicy) -> None:
    for verdict in plan(runs, policy, NOW).expired:
        assert not set(verdict.run.tags) & set(policy.protected_tags)


@relaxed
@given(histories(), policies())
def test_the_newest_of_each_class_are_always_kept_up_to_the_minimum(runs: list[RunFacts], policy: RetentionPolicy) -> None:
    planned = plan(runs, policy, NOW)
    for backup_class in LIMITED:
        minimum = getattr(policy.minimums, backup_class)
        of_class = [
            verdict
            for verdict in planned.verdicts
            if verdict.backup_class is backup_class and verdict.decision is not Decision.UNTOUCHED
        ]
        if backup_class is BackupClass.DAILY and policy.per is Per.DAY:
            newest_of_day: dict[object, Verdict] = {}
            for verdict in of_class:
                newest_of_day.setdefault(verdict.run.at.astimezone(UTC).date(), verdict)
            of_class = list(newest_of_day.values())
        assert all(verdict.decision is Decision.KEEP for verdict in of_class[:minimum])


@relaxed
@given(histories(), policies(freezing=False))
def test_maximums_are_exact(runs: list[RunFacts], policy: RetentionPolicy) -> None:
    """Without totals and freezing a class keeps its maximum if it has as many, and never more (but its minimum)."""
    policy = msgspec.structs.replace(policy, total_count=None, total_size_bytes=None)
    planned = plan(healthy(runs), policy, NOW)
    for backup_class in LIMITED:
        minimum, maximum = getattr(policy.minimums, backup_class), getattr(policy.maximums, backup_class)
        per_day = backup_class is BackupClass.DAILY and policy.per is Per.DAY

        def slots(verdicts: list[Verdict], of: BackupClass = backup_class, days: bool = per_day) -> int:
            found = [verdict.run for verdict in verdicts if verdict.backup_class is of]
            return len({run.at.astimezone(UTC).date() for run in found} if days else found)

        there = slots(planned.kept + planned.expired)
        assert slots(planned.kept) == (min(there, max(minimum, maximum)) if maximum else there)


@relaxed
@given(histories(), policies(freezing=False))
def test_totals_are_passed_by_nothing_but_what_is_forced(runs: list[RunFacts], policy: RetentionPolicy) -> None:
    planned = plan(healthy(runs), policy, NOW)
    forced = [verdict.run for verdict in planned.kept if verdict.rule in ("protected", "minimum")]
    if policy.total_count is not None:
        assert len(planned.kept) <= max(policy.total_count, len(forced))
    if policy.total_size_bytes is not None:
        forced_bytes = sum(run.size_bytes for run in forced)
        # Empty ones fit anywhere.
        assert sum(verdict.run.size_bytes for verdict in planned.kept) <= max(policy.total_size_bytes, forced_bytes)


@relaxed
@given(histories(), policies())
def test_applying_a_plan_and_planning_again_expires_nothing(runs: list[RunFacts], policy: RetentionPolicy) -> None:
    gone = ids(plan(runs, policy, NOW).expired)
    assert plan([run for run in runs if run.id not in gone], policy, NOW).expired == []


@relaxed
@given(histories(), policies(), st.integers(1, 20))
def test_a_larger_total_count_never_expires_more(runs: list[RunFacts], policy: RetentionPolicy, more: int) -> None:
    count = policy.total_count
    larger = msgspec.structs.replace(policy, total_count=count + more if count else None)
    assert ids(plan(runs, larger, NOW).expired) <= ids(plan(runs, policy, NOW).expired)


@relaxed
@given(histories(), policies(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_does_not_matter(runs: list[RunFacts], policy: RetentionPolicy, random: Random) -> None:
    shuffled = list(runs)
    random.shuffle(shuffled)
    assert plan(shuffled, policy, NOW) == plan(runs, policy, NOW)


@relaxed
@given(histories(), policies())
def test_runs_that_did_not_complete_or_lie_in_the_future_change_no_verdict_but_by_freezing(
    runs: list[RunFacts], policy: RetentionPolicy
) -> None:
    policy = msgspec.structs.replace(policy, suspicious_size_factor=0.0)
    counted = [run for run in runs if run.state is RunState.COMPLETED and run.at <= NOW]
    alone = plan(counted, policy, NOW)
    among = plan(runs, policy, NOW)
    assert among.freeze is not None or ids(among.expired) == ids(alone.expired)


@relaxed
@given(histories(), policies())
def test_while_frozen_nothing_expires(runs: list[RunFacts], policy: RetentionPolicy) -> None:
    newest = max((run.at for run in runs if run.at <= NOW), default=NOW - timedelta(days=1))
    failed = RunFacts(id="zzz", at=newest, size_bytes=0, automatic=True, state=RunState.FAILED)
    planned = plan([*runs, failed], policy, NOW)
    assert planned.freeze is not None
    assert planned.freeze.run_id == "zzz"
    assert planned.expired == []


@relaxed
@given(histories(), policies())
def test_what_expires_is_told_oldest_first(runs: list[RunFacts], policy: RetentionPolicy) -> None:
    expired = [verdict.run.at for verdict in plan(runs, policy, NOW).expired]
    assert expired == sorted(expired)


@relaxed
@given(histories())
def test_without_limits_nothing_expires(runs: list[RunFacts]) -> None:
    policy = RetentionPolicy(maximums=Maximums(), total_count=None)
    assert policy.limits_nothing
    assert plan(runs, policy, NOW).expired == []


@relaxed
@given(histories(), policies())
def test_each_backup_has_the_first_class_that_fits(runs: list[RunFacts], policy: RetentionPolicy) -> None:
    for verdict in plan(runs, policy, NOW).verdicts:
        tags = verdict.run.tags
        fits = [
            (BackupClass.PROTECTED, bool(set(tags) & set(policy.protected_tags))),
            (BackupClass.MONTHLY, "monthly" in tags),
            (BackupClass.WEEKLY, "weekly" in tags),
            (BackupClass.DAILY, "daily" in tags),
            (BackupClass.NONE, True),
        ]
        assert verdict.backup_class is next(name for name, does in fits if does)


def test_the_histories_of_these_tests_reach_every_rule() -> None:
    rules: Counter[Rule] = Counter()

    @settings(exploring, max_examples=200)
    @given(histories(), policies())
    def collect(runs: list[RunFacts], policy: RetentionPolicy) -> None:
        rules.update(verdict.rule for verdict in plan(runs, policy, NOW).verdicts)

    repeat_until(lambda: set(rules) == set(Rule), collect)
    assert set(rules) == set(Rule)
