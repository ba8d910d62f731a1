"""Runs under way, their log lines, and what backups hold, as pages show them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec

from contracts.records import RunKind, RunState
from contracts.reports import LogLine, Progress
from daemon.cli.run_picture import RunPicture
from daemon.web.service.inventory_tables import inventory_tables
from daemon.web.service.run_view import run_figures, shown_line, state_words
from tests.daemon.web.service.records import AT, backup

_RUNNING = backup(state=RunState.RUNNING, finished_at=None, started_at=AT)


def _progress(plain_bytes: int, **fields: Any) -> Progress:
    made = Progress(
        run=RunKind.BACKUP,
        project="acme",
        service="orders",
        run_id=_RUNNING.id,
        attempt=1,
        phase="dumping",
        artifact="orders",
        artifact_index=2,
        artifact_count=3,
        plain_bytes=plain_bytes,
        stored_bytes=plain_bytes // 4,
        estimate_bytes=1024**3,
        elapsed_s=1.0,
    )
    return msgspec.structs.replace(made, **fields)


def test_a_run_says_how_far_and_how_fast_it_is_and_what_is_left() -> None:
    picture = RunPicture(RunKind.BACKUP, 100.0)
    picture.take_record(_RUNNING)
    for second in range(5):
        picture.take_progress(_progress(second * 64 * 1024**2), 100.0 + second)
    figures = run_figures(picture, 104.0, AT + timedelta(seconds=70))
    assert figures.step == "dumping orders (2 of 3)"
    assert (figures.share, figures.share_words) == (25, "25 %")
    assert figures.facts == [
        "256 MiB of about 1.00 GiB",
        "64.0 MiB stored",
        "64.0 MiB/s",
        "12 s left",
        "1 min 10 s so far",
    ]
    assert figures.worry == ""


def test_a_run_of_unknown_size_claims_no_share() -> None:
    picture = RunPicture(RunKind.BACKUP, 100.0)
    picture.take_record(_RUNNING)
    picture.take_progress(_progress(1024, estimate_bytes=0), 100.0)
    assert run_figures(picture, 100.0, AT).share is None


def test_a_run_that_nothing_is_heard_of_is_worrying() -> None:
    picture = RunPicture(RunKind.BACKUP, 100.0)
    picture.take_record(_RUNNING)
    assert "nothing heard of it for 30 s" in run_figures(picture, 130.0, AT).worry


def test_what_is_said_aloud_is_the_state_alone() -> None:
    assert state_words(backup(state=RunState.REQUESTED)) == "Waiting for the agent on node-1."
    assert state_words(msgspec.structs.replace(_RUNNING, attempt=2)) == "Under way on node-1, attempt 2."
    assert state_words(backup()) == "It has ended: completed."


def test_a_log_line_shows_its_fields_and_cuts_what_is_too_long() -> None:
    line = LogLine(
        run=RunKind.BACKUP,
        project="acme",
        service="orders",
        run_id=_RUNNING.id,
        attempt=1,
        at=AT,
        level="error",
        event="part.failed",
        fields={"number": 3, "again": True, "reason": "x" * 1000},
    )
    shown = shown_line(line)
    assert shown.tone == "problem"
    assert shown.fields[:2] == [("number", "3"), ("again", "true")]
    assert len(shown.fields[2][1]) == 401


def test_an_inventory_of_databases_has_a_table_for_each_with_tables() -> None:
    tables = [{"schema": "public", "name": "things", "kind": "table", "bytes": 2048, "rows": 1200}]
    inventory = {
        "databases": [
            {"name": "orders", "owner": "o", "objects": {"table_count": 9, "tables": tables, "view_count": 1}},
            {"name": "empty", "objects": {}},
        ]
    }
    overview, orders = inventory_tables(inventory)
    assert [row[0] for row in overview.rows] == ["orders", "empty"]
    assert [row[4] for row in overview.rows] == ["9 tables, 1 view", "nothing"]
    assert orders.title == "Tables of orders"
    assert orders.rows == [["public.things", "table", "1,200", "2.00 KiB"]]
    assert orders.left_out == 8


def test_an_inventory_of_counts_is_one_table_the_largest_first() -> None:
    (table,) = inventory_tables({"counts": {f"index-{number}": number for number in range(300)}})
    assert table.rows[0] == ["index-299", "299"]
    assert (len(table.rows), table.left_out) == (200, 100)


def test_an_inventory_of_tomorrow_is_left_out() -> None:
    assert inventory_tables({"galaxies": []}) == []
    assert inventory_tables(None) == []
