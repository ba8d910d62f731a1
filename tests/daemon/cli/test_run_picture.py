"""A run under way in words: steps, amounts, speed, the time that is left, and what is not as it should be."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from contracts.records import BackupRecord, RunKind, RunState, Trigger
from contracts.reports import Progress
from contracts.services import PostgreSQLOptions
from daemon.cli.run_picture import RunPicture

MIB = 1024 * 1024
RECORD = BackupRecord(
    id="20261122T000512Z-k7xq",
    project="acme",
    service="orders",
    kind="postgresql",
    state=RunState.RUNNING,
    trigger=Trigger.MANUAL,
    requested_at=datetime(2026, 11, 22, 0, 5, 12, tzinfo=UTC),
    node="db1",
    placement="the only node of the service",
    options=PostgreSQLOptions(),
    recipients=[],
    key_id="",
)
LINE = Progress(
    run=RunKind.BACKUP,
    project="acme",
    service="orders",
    run_id=RECORD.id,
    attempt=1,
    phase="dumping",
    artifact="orders",
    artifact_index=1,
    artifact_count=2,
    plain_bytes=0,
    stored_bytes=0,
    estimate_bytes=100 * MIB,
    elapsed_s=0,
)


def line(**changes: object) -> Progress:
    return msgspec.structs.replace(LINE, **changes)


def watched(*lines: tuple[float, Progress]) -> RunPicture:
    picture = RunPicture(RunKind.BACKUP, 0)
    picture.take_record(RECORD)
    for at_s, progress in lines:
        picture.take_progress(progress, at_s)
    return picture


def test_a_run_that_waits_says_for_whom() -> None:
    picture = RunPicture(RunKind.BACKUP, 0)
    picture.take_record(msgspec.structs.replace(RECORD, state=RunState.REQUESTED))
    assert picture.headline() == "Backing up acme/orders on db1"
    assert picture.step() == "waiting for the agent on db1 to take it up"
    assert picture.fraction is None
    assert picture.amounts() == []


def test_speed_and_the_time_left_are_of_the_last_seconds() -> None:
    slow = [(float(s), line(plain_bytes=s * MIB // 10)) for s in range(30)]
    fast = [(30.0 + s, line(plain_bytes=(3 + 2 * s) * MIB, stored_bytes=s * MIB)) for s in range(20)]
    picture = watched(*slow, *fast)
    speed = picture.bytes_per_s
    assert speed is not None
    assert abs(speed - 2 * MIB) < 0.1 * MIB
    assert picture.amounts()[2:] == ["2.00 MiB/s", "30 s left"]


def test_the_first_moments_promise_nothing() -> None:
    picture = watched((0, line(plain_bytes=1000)), (1, line(plain_bytes=2000)))
    assert picture.left_s is None
    assert picture.amounts() == ["1.95 KiB of about 100 MiB", "0 B stored", "0.98 KiB/s"]


def test_an_estimate_that_was_too_small_never_shows_more_than_99_percent_nor_a_time() -> None:
    picture = watched((0, line(plain_bytes=100 * MIB)), (5, line(plain_bytes=150 * MIB)))
    assert picture.fraction == 0.99
    assert picture.left_s is None
    assert "of about" not in picture.amounts()[0]


def test_artifacts_are_done_when_the_next_one_begins_or_the_run_finishes() -> None:
    picture = watched((0, line()), (1, line(artifact="app", artifact_index=2)))
    assert picture.done == ["orders"]
    assert picture.step() == "dumping app (2 of 2)"
    picture.take_progress(line(artifact="app", artifact_index=2, phase="finishing"), 2)
    picture.take_progress(line(artifact="app", artifact_index=2, phase="finishing"), 3)
    assert picture.done == ["orders", "app"]
    assert picture.step() == "finishing"
    assert picture.fraction == 0.99


def test_a_new_attempt_begins_anew_and_late_lines_of_the_old_one_are_ignored() -> None:
    picture = watched((0, line()), (1, line(artifact="app", artifact_index=2)), (2, line(attempt=2)))
    assert picture.done == []
    picture.take_progress(line(artifact="app", artifact_index=2), 3)
    assert picture.step() == "dumping orders (1 of 2)"


def test_silence_and_trouble_are_told_and_end_with_the_next_news() -> None:
    picture = watched((0, line()))
    assert picture.worry(5) == ""
    assert picture.worry(15) == "nothing heard of it for 15 s"
    picture.trouble = "the coordinator did not answer; still trying"
    assert picture.worry(16) == picture.trouble
    picture.take_record(RECORD)
    picture.take_progress(line(), 16)
    assert picture.worry(17) == ""


def test_a_phase_that_nobody_knows_is_told_so_that_no_terminal_obeys_it() -> None:
    assert watched((0.0, line(phase="\x1b[2Jgone"))).step() == "\\x1b[2Jgone"
