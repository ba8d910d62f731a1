"""Schedules in words, and how well they were kept."""

from __future__ import annotations

from datetime import timedelta

import pytest

from contracts.control import DueTimes
from contracts.policy.schedule_text import parse_schedule
from contracts.policy.success import DueFigures
from contracts.records import DueRecord, DueState
from contracts.wire import utc_now
from daemon.cli.schedule_views import draw_dues, schedule_words, success_words
from tests.daemon.cli.drawing import drawn


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("off", "off: only people start backups"),
        ("daily 03:30", "daily at 03:30 UTC"),
        ("weekly sun 03:30", "every Sunday at 03:30 UTC"),
        ("monthly 15 02:15", "on day 15 of every month at 02:15 UTC"),
        ("monthly 30 02:15", "on day 30 of every month, or its last, at 02:15 UTC"),
        ("monthly 31 02:15", "on the last day of every month at 02:15 UTC"),
        ("0 */6 * * *", "cron 0 */6 * * * (UTC)"),
    ],
)
def test_a_schedule_is_told_in_words(text: str, words: str) -> None:
    assert schedule_words(parse_schedule(text)) == words
    assert schedule_words(parse_schedule(text), is_default=True) == f"{words} (the default: a moment of its own)"


def figures(**counts: int) -> DueFigures:
    return DueFigures(since=utc_now() - timedelta(days=30), due=sum(counts.values()), **counts)


def test_success_is_measured_against_what_was_due() -> None:
    assert success_words(figures(completed=29, missed=1)).plain == "29 of 30 due (97 %) in the last 30 days: 1 missed"
    assert success_words(figures(completed=30)).plain == "30 of 30 due (100 %) in the last 30 days"
    assert success_words(figures()).plain == "nothing was due in the last 30 days"
    assert success_words(figures(completed=1999, skipped=1)).plain.startswith("1999 of 2000 due (>99 %)")
    several = figures(failed=2, missed=1, skipped=1, cancelled=1)
    assert success_words(several).plain.endswith(": 2 failed, 1 missed, 1 skipped, 1 cancelled")
    assert success_words(several).style == "bad"


def test_due_times_are_told_with_what_became_of_them() -> None:
    now = utc_now()
    entries = [
        DueRecord(
            project="acme",
            service="orders",
            due_at=now - timedelta(days=number),
            run_id=f"20261122T00051{number}Z-k7xq",
            has_run=state is DueState.REQUESTED,
            state=state,
            noted_at=now,
            reason=reason,
        )
        for number, (state, reason) in enumerate(
            [
                (DueState.REQUESTED, ""),
                (DueState.SKIPPED, "the one before\x1b[2J"),
                (DueState.MISSED, "no agent was alive"),
            ]
        )
    ]
    dues = DueTimes(
        schedule=parse_schedule("daily 03:30"),
        is_default=False,
        next=[now + timedelta(hours=6, minutes=1), now + timedelta(days=1, hours=6, minutes=1)],
        past=entries,
        figures=figures(completed=1, missed=1),
    )
    lines = drawn(lambda console: draw_dues(console, "acme/orders", dues)).splitlines()
    assert lines[0] == "Service acme/orders"
    assert any(line.startswith("success") and "1 of 2 due (50 %)" in line for line in lines)
    assert [line.endswith((", in 6 h", ", in 1 d")) for line in lines[3:5]] == [True, True]
    requested, skipped, missed = lines[-3:]
    assert "requested" in requested
    assert entries[0].run_id in requested
    assert entries[1].run_id not in skipped
    assert "the one before\\x1b[2J" in skipped
    assert missed.endswith("no agent was alive")
