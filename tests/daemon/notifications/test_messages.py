"""Messages that a tired person understands, whatever is in them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.notifications import Alert, AlertKind, Ended, Severity
from daemon.notifications.messages import Message, message_of
from tests.daemon.scene import at

NOW = at("2026-11-22 00:05")
RUN = "20261122T000512Z-k7xq"
UI = "https://backups.example.org"


def alert(kind: AlertKind = AlertKind.FAILED, **fields: Any) -> Alert:
    plain: dict[str, Any] = {
        "key": "key",
        "kind": kind,
        "severity": Severity.CRITICAL,
        "at": NOW,
        "noted_at": NOW,
        "project": "acme",
        "service": "orders",
    }
    return Alert(**(plain | fields))


def failed(**fields: Any) -> Alert:
    plain = {"run_id": RUN, "code": "dump.failed", "reason": "pg_dump ended with status 1"}
    return alert(AlertKind.FAILED, **(plain | fields))


def recovered(**fields: Any) -> Alert:
    ends = Ended(kinds=[AlertKind.FAILED], since=NOW - timedelta(hours=30), runs=3)
    return alert(AlertKind.RECOVERED, severity=Severity.INFO, run_id=RUN, ends=ends, last_good_bytes=2**20, **fields)


def one(of: Alert) -> Message:
    return message_of([of], UI)


def test_a_failure_says_what_why_since_when_the_last_good_one_and_what_to_do() -> None:
    made = one(failed(last_good_at=NOW - timedelta(days=1), last_good_bytes=2**30))
    assert made.title == "[Strongroom] acme/orders: backup failed"
    assert made.text.splitlines() == [
        "Why: dump.failed: pg_dump ended with status 1",
        "Since: 2026-11-22 00:05 UTC",
        "Last good backup: 2026-11-21 00:05 UTC, 1 d before, 1.00 GiB",
        f"Run: {RUN}",
        (
            f"What to do: `strongroom backup show acme/orders/{RUN}` has the tool's own words; "
            "`strongroom backup create acme/orders` tries again"
        ),
        f"Look: {UI}/projects/acme/services/orders",
    ]


def test_the_step_that_helps_with_this_error_comes_first() -> None:
    text = one(failed(code="engine.unreachable", reason="nothing listens")).text
    assert "What to do: on the node: `strongroom-agent service check` asks the database itself; " in text


def test_without_pages_there_are_no_links() -> None:
    assert "Look" not in message_of([failed()], "").text
    assert "http" not in message_of([failed(), recovered()], "").text


@pytest.mark.parametrize(
    ("of", "title"),
    [
        (failed(reminder=2, runs=7), "acme/orders: backups still fail (7 runs)"),
        (alert(AlertKind.MISSED), "acme/orders: backup missed"),
        (alert(AlertKind.MISSED, runs=3), "acme/orders: 3 backups missed"),
        (recovered(), "acme/orders: backed up again"),
        (alert(AlertKind.SUSPICIOUS), "acme/orders: newest backup is suspiciously small"),
        (alert(AlertKind.QUOTA_NEAR, service="", used_bytes=83, quota_bytes=100), "acme: 83 % of the quota is used"),
        (alert(AlertKind.AGENT_SILENT, service="", node="db1"), "The agent on db1 is silent"),
        (alert(AlertKind.RESTORE_FAILED, run_id=RUN), "acme/orders: restore failed"),
    ],
)
def test_titles_say_what_and_where(of: Alert, title: str) -> None:
    made = one(of)
    assert made.title == f"[Strongroom] {title}"
    assert made.text


def test_a_recovery_says_how_long_the_trouble_lasted() -> None:
    made = one(recovered())
    assert made.is_good_news
    assert "Trouble: 2026-11-20 18:05 UTC to 2026-11-22 00:05 UTC, 1 d 6 h, 3 bad runs" in made.text


def test_what_was_made_up_for_needs_nothing_done() -> None:
    made = one(alert(AlertKind.MISSED, is_made_up_for=True, severity=Severity.WARNING))
    assert "What to do: nothing: a newer backup has completed since" in made.text


def test_two_hundred_at_once_are_counted_and_ten_are_named() -> None:
    many = [alert(AlertKind.MISSED, service=f"s{number}", reason="no agent was alive") for number in range(200)]
    made = message_of([*many, failed(project="globex")], UI)
    assert made.title == "[Strongroom] 1 backup failed, 200 backups missed"
    assert sum(line.startswith("- ") and "/" in line for line in made.text.splitlines()) == 10
    assert "- and 191 more" in made.text
    assert made.text.endswith(f"Look: {UI}/")


def test_several_of_one_service_are_told_as_such() -> None:
    made = message_of([failed(), recovered()], UI)
    assert made.title == "[Strongroom] acme/orders: backup failed, backed up again"
    assert not made.is_good_news


def test_text_from_elsewhere_calls_nobody_and_formats_nothing() -> None:
    made = one(failed(reason="*bold* @everyone <!channel> [x](http://h) \x1b[31m"))
    for shown in (made.text, made.markdown):
        assert "@everyone" not in shown
        assert "<!channel" not in shown
        assert "\x1b" not in shown
    assert "\\*bold\\*" in made.markdown
    assert "\\[x\\]" in made.markdown


def test_a_long_reason_is_cut() -> None:
    assert len(one(failed(reason="x" * 10_000)).text) < 1_500


@given(st.lists(st.sampled_from([failed(), recovered(), alert(AlertKind.MISSED)]), min_size=1, max_size=40))
def test_whatever_comes_together_has_a_title_and_a_text_of_a_size_that_can_be_read(alerts: list[Alert]) -> None:
    made = message_of(alerts, UI)
    assert made.title
    assert made.text
    assert made.markdown
    assert len(made.text) < 4_000
