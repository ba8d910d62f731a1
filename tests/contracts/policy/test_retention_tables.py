"""Plans that a person can read: the tables are in `golden/`, and say why each backup stays or goes.

`STRONGROOM_WRITE_GOLDEN=1 pytest …` writes them anew; what changes is then seen in the difference.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest

from contracts.policy.retention import Maximums, Minimums, Per, RetentionPlan, RetentionPolicy, RunFacts, Verdict, plan
from contracts.records import RunState
from tests.contracts.policy.histories import automatic, every, moment, run

GOLDEN = Path(__file__).parent / "golden"
DAY = timedelta(days=1)
NOTHING_FORCED = Minimums(daily=0, weekly=0, monthly=0)


def table(title: str, planned: RetentionPlan) -> str:
    """One line a verdict, newest first; what expires for one reason in one go is one line."""
    lines = [f"# {title}", *([f"# frozen: {planned.freeze.reason}"] if planned.freeze else []), ""]
    for (decision, reason), group in groupby(planned.verdicts, key=lambda verdict: (verdict.decision, verdict.reason)):
        verdicts = list(group)
        if decision == "expire" and len(verdicts) > 3:
            lines.append(f"{_at(verdicts[0])} … {_at(verdicts[-1])}  {decision}: {len(verdicts)} backups, {reason}")
        else:
            lines += [
                f"{_at(each)}  {each.backup_class:<9}  {each.run.size_bytes:>6}  {decision}: {reason}" for each in verdicts
            ]
    kept = Counter(verdict.backup_class for verdict in planned.kept)
    parts = ", ".join(f"{number} {name}" for name, number in sorted(kept.items()))
    return "\n".join([*lines, "", f"kept {len(planned.kept)}: {parts}; expired {len(planned.expired)}", ""])


def check(name: str, title: str, runs: Sequence[RunFacts], policy: RetentionPolicy, now: str) -> RetentionPlan:
    planned = plan(runs, policy, moment(now))
    path, text = GOLDEN / f"{name}.txt", table(title, planned)
    if os.environ.get("STRONGROOM_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
    return planned


def classes(planned: RetentionPlan) -> Counter[str]:
    return Counter(str(verdict.backup_class) for verdict in planned.kept)


def test_the_default_policy_over_400_daily_runs_keeps_50() -> None:
    runs = every(DAY, moment("2024-01-01T00:30"), 400)
    planned = check("default-400-days", "default policy, 400 daily runs", runs, RetentionPolicy(), "2025-02-03T01:00")
    assert classes(planned) == {"daily": 40, "weekly": 7, "monthly": 3}
    assert len(planned.expired) == 350


def test_weeks_around_new_year_belong_to_their_iso_year() -> None:
    """2024-12-30 begins week 1 of 2025; 2025-12-29 begins week 1 of 2026; each week has one weekly backup."""
    runs = every(DAY, moment("2024-12-20T00:30"), 20) + every(DAY, moment("2025-12-20T00:30"), 20)
    weekly = [each.id[:10] for each in runs if "weekly" in each.tags]
    assert weekly[1:3] == ["2024-12-23", "2024-12-30"]
    assert "2025-01-01" not in weekly
    assert "2025-12-29" in weekly
    assert "2026-01-01" not in weekly
    policy = RetentionPolicy(minimums=Minimums(daily=2, weekly=5, monthly=2), total_count=1)
    check("new-year-weeks", "minimums 2 daily, 5 weekly, 2 monthly; total count 1", runs, policy, "2026-01-08T12:00")


def test_runs_every_six_hours_per_day_keep_a_week() -> None:
    runs = every(timedelta(hours=6), moment("2026-01-01T00:00"), 4 * 40)
    policy = RetentionPolicy(per=Per.DAY, total_count=20)
    planned = check("six-hourly-per-day", "per = day, total count 20", runs, policy, "2026-02-10T00:00")
    by_minimum = [each.run.at.date() for each in planned.kept if each.rule == "minimum" and each.backup_class == "daily"]
    assert len(set(by_minimum)) == len(by_minimum) == 7
    assert (by_minimum[0] - by_minimum[-1]).days >= 6


def test_runs_every_six_hours_per_run_keep_two_days() -> None:
    runs = every(timedelta(hours=6), moment("2026-01-01T00:00"), 4 * 40)
    policy = RetentionPolicy(per=Per.RUN, total_count=14)
    planned = check("six-hourly-per-run", "per = run, total count 14", runs, policy, "2026-02-10T00:00")
    assert classes(planned) == {"daily": 8, "weekly": 4, "monthly": 2}


def test_per_day_the_maximum_counts_days() -> None:
    runs = every(timedelta(hours=6), moment("2026-01-06T00:00"), 4 * 6)
    policy = RetentionPolicy(
        per=Per.DAY, minimums=Minimums(daily=1, weekly=0, monthly=0), maximums=Maximums(daily=3), total_count=None
    )
    planned = check("per-day-maximum", "per = day, at most 3 days", runs, policy, "2026-01-12T00:00")
    assert len({each.run.at.date() for each in planned.kept if each.backup_class == "daily"}) == 3


def test_an_oversized_backup_is_skipped_and_older_ones_that_fit_stay() -> None:
    sizes = (100, 100, 900, 100, 100, 300, 100, 200)
    runs = [run(f"2026-03-{20 - number}T00:30", size_bytes=size) for number, size in enumerate(sizes)]
    policy = RetentionPolicy(minimums=NOTHING_FORCED, total_size_bytes=1000, suspicious_size_factor=0)
    planned = check("oversize-skip", "total size 1000", runs, policy, "2026-03-21T00:00")
    assert [each.run.size_bytes for each in planned.kept] == [100, 100, 100, 100, 300, 100, 200]
    assert [each.run.size_bytes for each in planned.expired] == [900]


def test_minimums_and_protected_ones_beat_every_limit() -> None:
    runs = [*every(DAY, moment("2026-01-01T00:30"), 90), run("2025-06-01T12:00", ["protected"], size_bytes=5000)]
    policy = RetentionPolicy(maximums=Maximums(daily=1, weekly=1, monthly=1), total_count=1, total_size_bytes=1)
    planned = check("minimums-beat-limits", "maximums 1, total count 1, total size 1", runs, policy, "2026-04-01T00:00")
    assert classes(planned) == {"protected": 1, "daily": 7, "weekly": 4, "monthly": 3}


@pytest.mark.parametrize(("maximum", "kept"), [(10, 10), (7, 7), (1, 7), (0, 60)])
def test_a_maximum_is_exact(maximum: int, kept: int) -> None:
    runs = [run(f"{moment('2026-01-01T00:30') + DAY * n:%Y-%m-%dT%H:%M}", ["daily"], is_automatic=True) for n in range(60)]
    planned = plan(runs, RetentionPolicy(maximums=Maximums(daily=maximum), total_count=None), moment("2026-06-01"))
    assert len(planned.kept) == kept


def test_manual_backups_compete_by_age() -> None:
    runs = [*every(DAY, moment("2026-01-01T00:30"), 30), *(run(f"2026-01-{day:02}T12:00") for day in (2, 10, 20, 30))]
    policy = RetentionPolicy(minimums=Minimums(daily=3, weekly=2, monthly=1), total_count=14)
    check("manual-by-age", "minimums 3, 2, 1; total count 14", runs, policy, "2026-01-31T00:00")


@pytest.mark.parametrize(
    ("name", "newest", "cause"),
    [
        ("frozen-failed", run("2026-01-31T00:30", is_automatic=True, state=RunState.FAILED), "run_failed"),
        ("frozen-missed", run("2026-01-31T00:30", is_automatic=True, state=RunState.MISSED), "run_missed"),
        ("frozen-small", run("2026-01-31T00:30", ["daily"], size_bytes=49, is_automatic=True), "suspicious_size"),
    ],
)
def test_while_the_newest_looks_unhealthy_nothing_expires(name: str, newest: RunFacts, cause: str) -> None:
    runs = [*every(DAY, moment("2026-01-01T00:30"), 30), newest]
    policy = RetentionPolicy(minimums=Minimums(daily=3, weekly=2, monthly=1), total_count=8)
    planned = check(name, "minimums 3, 2, 1; total count 8", runs, policy, "2026-01-31T01:00")
    assert planned.freeze is not None
    assert planned.freeze.cause == cause
    assert planned.expired == []


def test_a_schedule_that_is_weekly_has_no_daily_class() -> None:
    runs = automatic(moment("2025-01-05T03:00") + timedelta(weeks=week) for week in range(60))
    assert set(classes(plan(runs, RetentionPolicy(), moment("2026-06-01")))) == {"weekly", "monthly"}


def _at(verdict: Verdict) -> str:
    return f"{verdict.run.at:%Y-%m-%d %H:%M}"
