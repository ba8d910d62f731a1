"""What people are told of: once, of the right things, and not again when events are met again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ErrorInfo
from contracts.events import Event
from contracts.ids import due_run_id
from contracts.notifications import (
    Alert,
    AlertKind,
    ChannelRecord,
    Severity,
    WatchRecord,
)
from contracts.policy.alert_values import Known, Step
from contracts.policy.alerts import after_service_event, follow, remind
from contracts.policy.alerts_of_nodes import after_node_event, condense
from contracts.policy.alerts_of_quotas import after_quota_event
from contracts.records import RunState, RunSummary

START = datetime(2026, 3, 1, tzinfo=UTC)


def channel(id_: str = "aaaaaaaaaa", **fields: Any) -> ChannelRecord:
    plain: dict[str, Any] = {
        "id": id_,
        "name": id_,
        "sealed_url": b"",
        "target": "json://x",
        "created_at": START,
        "min_severity": Severity.INFO,
    }
    return ChannelRecord(**(plain | fields))


def known(now: datetime = START, *channels: ChannelRecord, **fields: Any) -> Known:
    return Known(now=now, channels=list(channels) or [channel()], **fields)


def at(number: int) -> datetime:
    return START + timedelta(hours=number)


def run(type_: str, number: int, **fields: Any) -> Event:
    """An event about the run that was due at that hour."""
    run_id = due_run_id("acme", "orders", at(number))
    return Event(
        id=f"{type_}:acme/orders/{run_id}:1",
        type=type_,
        at=at(number),
        project="acme",
        service="orders",
        backup_id=run_id,
        **fields,
    )


def failed(number: int) -> Event:
    return run("backup.failed", number, error=ErrorInfo(code="dump.failed", message=f"run {number} broke", detail="secret"))


def missed(number: int, **facts: Any) -> Event:
    return run("backup.missed", number, reason="nobody was there", facts=facts or None)


def completed(number: int) -> Event:
    return run("backup.completed", number, size_bytes=1000)


def frozen(number: int, cause: str = "suspicious_size") -> Event:
    return run("retention.frozen", number, reason="it is small", facts={"cause": cause})


def resumed(number: int) -> Event:
    return run("retention.resumed", number, facts={"cause": "suspicious_size"})


def tell(*events: Event, watch: WatchRecord | None = None, of: Known | None = None) -> Step:
    numbered = [(number, event) for number, event in enumerate(events, 1)]
    return follow(watch or WatchRecord(), numbered, lambda w, event: after_service_event(w, event, of or known()))


def kinds(step: Step) -> list[AlertKind]:
    return [alert.kind for alert in step.alerts]


def test_a_failure_after_good_backups_is_told_at_once_with_its_reason_and_the_last_good_one() -> None:
    good = RunSummary(id=due_run_id("acme", "orders", at(0)), state=RunState.COMPLETED, requested_at=at(0), size_bytes=5)
    (alert,) = tell(failed(1), of=known(last_good=good)).alerts
    assert (alert.kind, alert.severity) == (AlertKind.FAILED, Severity.CRITICAL)
    assert (alert.code, alert.reason) == ("dump.failed", "run 1 broke")
    assert (alert.last_good_at, alert.last_good_bytes) == (at(0), 5)
    assert "secret" not in repr(alert)


def test_further_failures_of_the_same_trouble_are_counted_and_not_told() -> None:
    step = tell(failed(1), failed(2), failed(3))
    assert kinds(step) == [AlertKind.FAILED]
    assert step.watch.trouble is not None
    assert step.watch.trouble.runs == 3


def test_a_trouble_of_another_kind_is_told_once_too() -> None:
    assert kinds(tell(missed(1), failed(2), missed(3), failed(4))) == [AlertKind.MISSED, AlertKind.FAILED]


def test_a_good_backup_after_a_trouble_is_told_with_how_long_it_lasted() -> None:
    step = tell(failed(1), missed(2), completed(3), completed(4))
    assert kinds(step) == [AlertKind.FAILED, AlertKind.MISSED, AlertKind.RECOVERED]
    ends = step.alerts[-1].ends
    assert ends is not None
    assert (ends.kinds, ends.since, ends.runs) == ([AlertKind.FAILED, AlertKind.MISSED], at(1), 2)
    assert step.watch.is_quiet


def test_a_good_backup_without_a_trouble_is_not_told() -> None:
    step = tell(completed(1))
    assert step == Step(WatchRecord(), [])


def test_a_new_trouble_after_a_recovery_is_told_again() -> None:
    assert kinds(tell(failed(1), completed(2), failed(3))) == [AlertKind.FAILED, AlertKind.RECOVERED, AlertKind.FAILED]


def test_runs_that_were_found_out_to_be_missed_after_a_newer_good_one_are_a_warning_and_no_trouble() -> None:
    good = RunSummary(id=due_run_id("acme", "orders", at(5)), state=RunState.COMPLETED, requested_at=at(5))
    step = tell(missed(4, count=3, last=at(4).isoformat()), of=known(last_good=good))
    (alert,) = step.alerts
    assert (alert.severity, alert.is_made_up_for, alert.runs) == (Severity.WARNING, True, 3)
    assert step.watch.is_quiet


def test_a_deleted_service_is_no_trouble_any_more_and_nobody_is_told_so() -> None:
    step = tell(failed(1), run("service.deleted", 2), completed(3))
    assert kinds(step) == [AlertKind.FAILED]


def test_a_trouble_is_reminded_of_once_a_day() -> None:
    watch = tell(failed(1)).watch
    told: list[Alert] = []
    for hour in range(96):
        step = remind(watch, "acme", "orders", known(START + timedelta(hours=hour)))
        watch, told = step.watch, [*told, *step.alerts]
    assert [alert.reminder for alert in told] == [1, 2, 3]
    assert len({alert.key for alert in told}) == 3
    assert {alert.reason for alert in told} == {"run 1 broke"}


def test_a_suspicious_backup_is_told_once_and_so_is_its_end() -> None:
    step = tell(frozen(1), frozen(1), resumed(2), resumed(3))
    assert kinds(step) == [AlertKind.SUSPICIOUS, AlertKind.RECOVERED]
    assert step.alerts[0].severity is Severity.WARNING


def test_retention_that_holds_still_for_another_reason_is_not_suspicious() -> None:
    assert tell(frozen(1, "run_failed"), resumed(2)).alerts == []


def test_each_restore_that_fails_is_told() -> None:
    events = [
        Event(id=f"restore.failed:{n}", type="restore.failed", at=at(n), project="acme", service="orders") for n in (1, 2)
    ]
    assert kinds(tell(*events)) == [AlertKind.RESTORE_FAILED] * 2


# Channels.


def test_a_channel_is_told_what_it_wants() -> None:
    channels = [
        channel("everything"),
        channel("off", enabled=False),
        channel("other", project="other"),
        channel("mine", project="acme"),
        channel("misses", kinds=(AlertKind.MISSED,)),
        channel("critical", min_severity=Severity.CRITICAL),
    ]
    assert tell(failed(1), of=known(START, *channels)).alerts[0].channels == ["everything", "mine", "critical"]
    assert tell(frozen(1), of=known(START, *channels)).alerts[0].channels == ["everything", "mine"]


def test_the_end_is_told_to_whoever_was_told_of_the_trouble_and_to_nobody_else() -> None:
    early = [channel("critical", min_severity=Severity.CRITICAL), channel("no-ends", kinds=(AlertKind.FAILED,))]
    watch = tell(failed(1), of=known(START, *early)).watch
    late = known(START, *early, channel("new"))
    (alert,) = follow(watch, [(9, completed(2))], lambda w, event: after_service_event(w, event, late)).alerts
    assert alert.channels == ["critical"]


# Quotas.


def quota(*used: int, of: Known | None = None) -> list[Alert]:
    """Uses of 100 bytes, one after another."""
    watch = WatchRecord()
    told: list[Alert] = []
    for number, used_bytes in enumerate(used):
        event = Event(id=f"e{number}", type="backup.completed", at=at(number), project="acme", service="orders")
        step = after_quota_event(watch, event, of or known(), used_bytes, 100)
        watch, told = step.watch, [*told, *step.alerts]
    return told


@pytest.mark.parametrize(
    ("used", "told"),
    [
        ([10, 79], []),
        ([80, 85, 79, 76, 80], ["warning"]),
        ([80, 95, 96, 91, 95], ["warning", "critical"]),
        ([99], ["critical"]),
        ([80, 74], ["warning", "over"]),
        ([95, 85, 80, 95], ["critical", "critical"]),
        ([80, 74, 80], ["warning", "over", "warning"]),
        ([120, 0], ["critical", "over"]),
    ],
)
def test_a_quota_is_told_of_when_it_crosses_upwards_and_when_it_is_well_below_again(
    used: list[int], told: list[str]
) -> None:
    alerts = quota(*used)
    assert ["over" if alert.kind is AlertKind.RECOVERED else str(alert.severity) for alert in alerts] == told
    assert len({alert.key for alert in alerts}) == len(alerts)


# Nodes.


def node(type_: str, number: int) -> Event:
    return Event(id=f"{type_}:db1:{number}", type=type_, at=at(number), node="db1")


def test_a_silent_agent_is_a_warning_and_critical_where_nobody_else_can_do_its_work() -> None:
    step = after_node_event(WatchRecord(), node("node.silent", 1), known(), {"acme": [], "globex": ["shop"]})
    assert [(alert.project, alert.severity, alert.services) for alert in step.alerts] == [
        ("acme", Severity.WARNING, []),
        ("globex", Severity.CRITICAL, ["shop"]),
    ]


def test_a_project_is_told_nothing_of_the_services_of_others() -> None:
    of = known(START, channel("acme", project="acme"))
    step = after_node_event(WatchRecord(), node("node.silent", 1), of, {"acme": [], "globex": ["shop"]})
    (alert,) = [alert for alert in step.alerts if alert.channels]
    assert "globex" not in repr(alert)
    assert "shop" not in repr(alert)


def test_an_agent_that_is_back_is_told_once() -> None:
    watch = WatchRecord()
    told: list[Alert] = []
    for event in (node("node.alive", 0), node("node.silent", 1), node("node.silent", 2), node("node.alive", 3)):
        step = after_node_event(watch, event, known(), {})
        watch, told = step.watch, [*told, *step.alerts]
    assert [alert.kind for alert in told] == [AlertKind.AGENT_SILENT, AlertKind.RECOVERED]


def test_an_agent_that_was_only_restarted_is_no_news() -> None:
    silent = after_node_event(WatchRecord(), node("node.silent", 1), known(), {"acme": []})
    back = after_node_event(silent.watch, node("node.alive", 2), known(), {})
    trouble = tell(failed(1)).alerts
    assert condense([*silent.alerts, *trouble, *back.alerts]) == trouble
    assert condense(silent.alerts) == silent.alerts
    assert condense(back.alerts) == back.alerts


# Whatever happens, in whatever order, and however often it is read again.

HAPPENINGS = (failed, missed, completed, frozen, resumed)
histories = st.lists(st.sampled_from(HAPPENINGS), max_size=25).map(
    lambda made: [(number, make(number)) for number, make in enumerate(made, 1)]
)


DEATHS = ("some alerts", "alerts", "record", "nothing")


def decide(watch: WatchRecord, event: Event) -> Step:
    return after_service_event(watch, event, known())


@settings(max_examples=100, deadline=None)
@given(histories)
def test_nothing_is_told_twice_and_every_trouble_ends_at_most_once(history: list[tuple[int, Event]]) -> None:
    told = follow(WatchRecord(), history, decide).alerts
    assert len({alert.key for alert in told}) == len(told)
    open_: set[AlertKind] = set()
    is_suspicious = False
    for alert in told:
        if alert.ends is not None and AlertKind.SUSPICIOUS in alert.ends.kinds:
            assert is_suspicious
            is_suspicious = False
        elif alert.ends is not None:
            assert set(alert.ends.kinds) == open_
            open_ = set()
        elif alert.kind is AlertKind.SUSPICIOUS:
            is_suspicious = True
        else:
            assert alert.kind not in open_
            open_.add(alert.kind)


@settings(max_examples=100, deadline=None)
@given(histories, st.data())
def test_leaders_that_die_anywhere_lead_to_the_same_alerts_as_one_that_lives(
    history: list[tuple[int, Event]], data: st.DataObject
) -> None:
    """A leader keeps its alerts, then the record, then how far it has read; it may die after each of these."""
    whole = follow(WatchRecord(), history, decide)
    kept: dict[str, Alert] = {}
    record, read, deaths = WatchRecord(), 0, 0
    while read < len(history):
        size = data.draw(st.integers(1, 6))
        batch = history[read : read + size]
        step = follow(record, batch, decide)
        dies_after = data.draw(st.sampled_from(DEATHS)) if deaths < 10 else "nothing"
        deaths += dies_after != "nothing"
        made = step.alerts[: data.draw(st.integers(0, len(step.alerts)))] if dies_after == "some alerts" else step.alerts
        for alert in made:
            kept.setdefault(alert.key, alert)
        if dies_after in ("record", "nothing"):
            record = step.watch
        if dies_after == "nothing":
            read += len(batch)
    assert kept.keys() == {alert.key for alert in whole.alerts}
    assert msgspec.structs.replace(record, seen=0) == msgspec.structs.replace(whole.watch, seen=0)


@settings(max_examples=60, deadline=None)
@given(histories)
def test_events_that_were_stated_twice_are_told_once(history: list[tuple[int, Event]]) -> None:
    """As when a coordinator that was cut off long ago is followed by one that settles the same run again."""
    twice = [(2 * number + again, event) for number, event in history for again in (0, 1)]
    once = follow(WatchRecord(), history, decide)
    assert [alert.key for alert in follow(WatchRecord(), twice, decide).alerts] == [alert.key for alert in once.alerts]
