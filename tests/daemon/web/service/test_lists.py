"""Lists of backups and strips of days: what each line says."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ErrorInfo
from contracts.policy.retention import BackupClass, RetentionPolicy, facts_of, plan
from contracts.records import BackupRecord, DueState, RunState, Trigger
from daemon.web.service.backup_filter import BackupFilter, Show, parse_filter
from daemon.web.service.backup_list import page_of_backups
from daemon.web.service.backup_rows import BackupRow, backup_rows
from daemon.web.service.chart_data import chart_data
from daemon.web.service.day_strip import day_strip, strip_words
from daemon.web.service.judged import Judged
from tests.daemon.web.service.records import AT, backup, due


def rows_of(*records: BackupRecord, policy: RetentionPolicy | None = None) -> list[BackupRow]:
    policy = policy or RetentionPolicy()
    return backup_rows(records, judge(*records, policy=policy).verdicts, policy.protected_tags)


def judge(*records: BackupRecord, policy: RetentionPolicy | None = None) -> Judged:
    planned = plan(map(facts_of, records), policy or RetentionPolicy(), AT + timedelta(days=1))
    return Judged(records=records, verdicts={each.run.id: each for each in planned.verdicts}, freeze=planned.freeze)


def test_a_completed_backup_says_its_class_and_why_it_is_kept() -> None:
    (row,) = rows_of(backup())
    assert (row.backup_class, row.tone, row.brief) == ("daily", "", "held by the minimum")
    assert "the minimum keeps 7" in row.reason
    assert row.took_s == 60
    assert (row.own_tags, row.period_tags) == ([], ["daily"])
    assert row.by == "by schedule"
    assert row.can_be_restored


def test_a_protected_backup_says_by_which_tag() -> None:
    (row,) = rows_of(backup(tags=["protected", "v1"], trigger=Trigger.MANUAL, actor="token:jane"))
    assert (row.backup_class, row.protected, row.by) == ("protected", True, "by jane")
    assert "'protected'" in row.reason


def test_what_will_go_is_a_warning() -> None:
    policy = RetentionPolicy(total_count=1, suspicious_size_factor=0)
    manual = [backup(AT - timedelta(days=day), trigger=Trigger.MANUAL, tags=[]) for day in range(2)]
    _, older = rows_of(*manual, policy=policy)
    assert older.tone == "warning"
    assert older.reason.startswith("goes with the next retention")
    assert older.backup_class == "manual"


def test_a_failed_run_says_its_error_and_no_class() -> None:
    error = ErrorInfo(code="dump.failed", message="pg_dump ended with status 1")
    (row,) = rows_of(backup(state=RunState.FAILED, error=error))
    assert (row.backup_class, row.reason, row.tone) == ("", "pg_dump ended with status 1", "problem")
    assert not row.can_be_restored


def test_a_missed_run_and_one_that_is_being_deleted_say_so() -> None:
    missed, going = rows_of(
        backup(state=RunState.MISSED, started_at=None, tags=[]), backup(state=RunState.DELETING, deletion_reason="too old")
    )
    assert missed.reason == "nobody was there to make it"
    assert missed.took_s is None
    assert going.reason == "is being deleted: too old"


def test_a_filter_reads_what_it_writes() -> None:
    chosen = BackupFilter(show=Show.TROUBLE, tag="v1", backup_class=BackupClass.WEEKLY, after="x")
    query = dict(each.split("=") for each in chosen.query(after="x")[1:].split("&"))
    assert parse_filter(query) == chosen
    assert BackupFilter().query() == ""


@given(st.dictionaries(st.sampled_from(["show", "tag", "class", "after"]), st.text(max_size=80)))
def test_whatever_an_address_says_is_a_filter(query: dict[str, str]) -> None:
    assert page_of_backups(judge(backup()), parse_filter(query), []).total in (0, 1)


def test_a_list_is_filtered_by_state_tag_and_class() -> None:
    blue = backup(AT, tags=["daily", "blue"])
    manual = backup(AT - timedelta(hours=1), trigger=Trigger.MANUAL, tags=["blue"])
    failed = backup(AT - timedelta(hours=2), state=RunState.FAILED, tags=[])
    judged = judge(blue, manual, failed)

    def ids(**chosen: Any) -> list[str]:
        return [row.record.id for row in page_of_backups(judged, BackupFilter(**chosen), []).rows]

    assert ids() == [blue.id, manual.id, failed.id]
    assert ids(show=Show.TROUBLE) == [failed.id]
    assert ids(tag="blue") == [blue.id, manual.id]
    assert ids(tag="blue", backup_class=BackupClass.NONE) == [manual.id]
    # A failed run of the schedule would be a daily one: it is none, since nothing of it is kept.
    assert ids(backup_class=BackupClass.DAILY) == [blue.id]
    classes = page_of_backups(judged, BackupFilter(), []).classes
    assert (classes[BackupClass.DAILY], classes[BackupClass.NONE], classes[BackupClass.MONTHLY]) == (1, 1, 0)


@given(st.integers(0, 130))
def test_the_pages_of_a_list_have_each_backup_once(number: int) -> None:
    records = [backup(AT - timedelta(hours=hour)) for hour in range(number)]
    judged, chosen, seen = judge(*records), BackupFilter(), list[str]()
    while True:
        page = page_of_backups(judged, chosen, [])
        assert page.before == len(seen)
        assert page.total == number
        seen += [row.record.id for row in page.rows]
        if not page.has_more:
            break
        chosen = parse_filter(dict([page.next_query[1:].split("=")]))
    assert seen == [record.id for record in records]


def test_a_day_shows_the_worst_that_became_of_what_was_due() -> None:
    entries = [
        due(AT, DueState.COMPLETED),
        due(AT - timedelta(hours=1), DueState.MISSED),
        due(AT - timedelta(days=1), DueState.COMPLETED),
        due(AT - timedelta(days=40), DueState.FAILED),
    ]
    cells = day_strip(entries, AT)
    assert len(cells) == 30
    assert (cells[-1].tone, cells[-1].words, cells[-1].is_mixed) == ("problem", "1 missed, 1 completed", True)
    assert (cells[-2].tone, cells[-2].is_mixed) == ("good", False)
    assert {cell.tone for cell in cells[:-2]} == {"none"}
    assert strip_words(cells) == (
        "The last 30 days: 1 day without a fault, 1 day with failed or missed runs, 28 days on which nothing was due."
    )


def test_charts_have_the_completed_backups_in_the_order_of_their_times() -> None:
    later, earlier = backup(AT), backup(AT - timedelta(days=1), started_at=None)
    data = chart_data([later, backup(AT - timedelta(hours=3), state=RunState.FAILED), earlier])
    assert data.ids == [earlier.id, later.id]
    assert data.at == [int((AT - timedelta(days=1)).timestamp()), int(AT.timestamp())]
    assert data.took_s == [None, 60.0]
    assert (data.stored_bytes, data.plain_bytes) == ([1000, 1000], [4000, 4000])
