"""Names and ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.ids import SLUG_PATTERN, check_run_id, check_slug, due_run_id, new_run_id, parse_service_ref, run_id_time
from contracts.object_keys import artifact_key, backup_prefix
from contracts.subjects import event_subject, is_reply_inbox, node_of, report_subject

moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def test_a_run_id_reads_as_its_moment() -> None:
    run_id = new_run_id(datetime(2026, 11, 22, 0, 5, 12, tzinfo=UTC))
    assert run_id.startswith("20261122T000512Z-")
    assert check_run_id(run_id, "id") == run_id


def test_a_run_id_is_in_utc_wherever_it_was_made() -> None:
    moment = datetime(2026, 11, 22, 1, 5, 12, tzinfo=timezone(timedelta(hours=1)))
    assert new_run_id(moment).startswith("20261122T000512Z-")


@given(moments)
def test_a_run_id_gives_its_second_back(moment: datetime) -> None:
    assert run_id_time(new_run_id(moment)) == moment.replace(microsecond=0)


@given(moments, st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=1000)))
def test_run_ids_sort_by_time(moment: datetime, later: timedelta) -> None:
    assert new_run_id(moment) < new_run_id(moment + later)


slugs = st.from_regex(SLUG_PATTERN)


@given(slugs, slugs, moments)
def test_a_due_time_always_leads_to_the_same_run_whose_id_reads_as_that_moment(
    project: str, service: str, due_at: datetime
) -> None:
    run_id = due_run_id(project, service, due_at)
    assert check_run_id(run_id, "id") == run_id
    assert run_id_time(run_id) == due_at.replace(microsecond=0)
    assert due_run_id(project, service, due_at.astimezone(timezone(timedelta(hours=-7)))) == run_id


@pytest.mark.parametrize(
    ("project", "service", "expected"),
    [
        ("acme", "orders", "20261122T000512Z-o5yx"),
        ("acme", "users", "20261122T000512Z-s3qb"),
        ("acme-orders", "x", "20261122T000512Z-4j3s"),
        ("acme", "orders-x", "20261122T000512Z-sw7w"),
    ],
)
def test_coordinators_of_every_version_agree_on_the_run_of_a_due_time(project: str, service: str, expected: str) -> None:
    assert due_run_id(project, service, datetime(2026, 11, 22, 0, 5, 12, tzinfo=UTC)) == expected


def test_the_runs_of_one_services_due_times_have_different_ids_and_sort_by_time() -> None:
    first = datetime(2026, 11, 22, tzinfo=UTC)
    run_ids = [due_run_id("acme", "orders", first + timedelta(seconds=number)) for number in range(1000)]
    assert run_ids == sorted(set(run_ids))
    assert len({run_id.partition("-")[2] for run_id in run_ids}) > 990


def test_services_that_are_due_at_the_same_moment_have_different_runs() -> None:
    due_at = datetime(2026, 11, 22, tzinfo=UTC)
    assert len({due_run_id("acme", f"service-{number}", due_at) for number in range(100)}) == 100


@pytest.mark.parametrize("good", ["a", "acme", "a-b", "0", "a" * 40, "db1-primary"])
def test_slugs(good: str) -> None:
    assert check_slug(good, "name") == good


@pytest.mark.parametrize("bad", ["", "-a", "a-", "A", "a b", "a.b", "a/b", "ä", "a" * 41, "a\n", ">", "*", "a_b"])
def test_what_is_no_slug_is_refused_by_field(bad: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_slug(bad, "project")
    assert caught.value.field == "project"


@pytest.mark.parametrize("bad", ["", "20261122", "20261122T000512Z-K7XQ", "20261122T000512Z-k7xq\n", "../../x"])
def test_what_is_no_run_id_is_refused(bad: str) -> None:
    with pytest.raises(InvalidInput):
        check_run_id(bad, "backup")


def test_a_service_is_written_with_its_project() -> None:
    assert parse_service_ref("acme/orders") == ("acme", "orders")
    for bad in ("acme", "acme/", "/orders", "a/b/c", "Acme/orders"):
        with pytest.raises(InvalidInput):
            parse_service_ref(bad)


@given(st.text(max_size=200))
def test_an_object_key_is_plain_whatever_the_artifact_is_called(name: str) -> None:
    key = artifact_key("acme", "orders", "20261122T000512Z-k7xq", 2, 7, name, "pgdump.zst.age")
    prefix = backup_prefix("acme", "orders", "20261122T000512Z-k7xq")
    assert key.startswith(f"{prefix}2/0007-")
    assert key.endswith(".pgdump.zst.age")
    assert key.isascii()
    assert "//" not in key
    assert ".." not in key


def test_the_node_is_read_from_the_subject() -> None:
    assert node_of(report_subject("db-1")) == "db-1"
    assert event_subject("node.alive", "", "") == "strongroom.event.node.alive.-.-"


def test_only_inboxes_are_answered() -> None:
    assert is_reply_inbox("_R_.abc.def", agent=True)
    assert is_reply_inbox("_INBOX.abc", agent=False)
    for subject in (
        "",
        "$KV.strongroom-projects.acme",
        "strongroom.request.node-2",
        "$JS.API.STREAM.DELETE.X",
        "_INBOX_n2.x",
    ):
        assert not is_reply_inbox(subject, agent=True)
