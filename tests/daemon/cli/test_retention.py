"""`strongroom retention`: the rule tried out without any server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.daemon.cli.calling import Strongroom, Zygote


@pytest.fixture
def alone(zygote: Zygote, tmp_path: Path) -> Strongroom:
    """The command on a machine where nothing is configured."""
    return Strongroom(zygote, tmp_path, None)


def entry(day: int, **changed: object) -> dict[str, object]:
    at = f"2026-01-{day:02}T00:30:00Z"
    return {"id": f"backup-{day:02}", "at": at, "size_bytes": 1000, "tags": ["daily"], "automatic": True, **changed}


def write(path: Path, document: object) -> str:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


def ids(backups: list[dict[str, Any]]) -> list[str]:
    return [each["id"] for each in backups]


def test_a_simulation_ends_with_one_line_for_programs(alone: Strongroom) -> None:
    ended = alone("retention", "simulate", "--schedule", "30 0 * * *", "--days", "400", "--json").ok()
    assert ended.err == ""
    assert len(ended.out.splitlines()) == 1
    kept, expired = ended.document["kept"], ended.document["expired"]
    assert [len(kept), len(expired)] == [50, 350]
    classes = [each["class"] for each in kept]
    assert [classes.count(name) for name in ("daily", "weekly", "monthly")] == [40, 7, 3]
    assert set(kept[0]) == {"id", "at", "class", "tags", "reason"}
    assert kept[0] == {
        "id": kept[0]["id"],
        "at": "2025-02-03T00:30:00Z",
        "class": "weekly",
        "tags": ["daily", "weekly"],
        "reason": "one of the newest weekly backups, of which the minimum keeps 4",
    }
    assert expired[0]["at"] < expired[-1]["at"]
    assert expired[0]["reason"] == "beyond the total count: 50"


def test_the_line_for_programs_stays_one_where_a_person_looks(alone: Strongroom) -> None:
    ended = alone.on_terminal("retention", "simulate", "--schedule", "daily 00:30", "--days", "3", "--json").ok()
    assert len(ended.out.splitlines()) == 1


def test_the_same_seed_gives_the_same(alone: Strongroom) -> None:
    argv = (
        "retention",
        "simulate",
        "--schedule",
        "0 */6 * * *",
        "--days",
        "60",
        "--failures",
        "10",
        "--spread",
        "30",
        "--json",
    )
    assert alone(*argv).ok().out == alone(*argv).ok().out
    assert alone(*argv).out != alone(*argv, "--seed", "1").ok().out


def test_people_see_days_a_calendar_and_reasons(alone: Strongroom) -> None:
    argv = ("--schedule", "weekly sunday 03:00", "--days", "60", "--size", "10MiB", "--manual-every", "30")
    out = alone("retention", "simulate", *argv, "--manual-tag", "protected", "--start", "2026-01-15").ok().out
    assert re.search(r"^2026-01-18 Sun +1 +1 +10\.0 MiB$", out, re.MULTILINE)
    assert re.search(r"^2026-01 {4} {14}---M------W------$", out, re.MULTILINE)
    assert re.search(r"^2026-02 {4}M------W----P-W------W------$", out, re.MULTILINE)
    assert re.search(r"^2026-03 {4}M------W------P$", out, re.MULTILINE)
    assert "it bears the protected tag 'protected'" in out
    assert re.search(r"^11 backups kept, 110 MiB: 2 protected, 3 monthly, 6 weekly; 0 expired\.$", out, re.MULTILINE)


def test_a_schedule_that_is_off_makes_nothing(alone: Strongroom) -> None:
    argv = ("retention", "simulate", "--schedule", "off", "--days", "2")
    assert alone(*argv, "--json").ok().document == {"kept": [], "expired": [], "untouched": [], "frozen": None}
    assert "0 backups kept" in alone(*argv).ok().out


@pytest.mark.parametrize(
    ("option", "value", "field"),
    [
        ("--schedule", "0 0 30 2 *", "schedule.expression"),
        ("--schedule", "@daily", "schedule.expression"),
        ("--schedule", "daily 25:00", "schedule.at"),
        ("--days", "0", "days"),
        ("--start", "someday", "start"),
        ("--start", "0001-01-01", "start"),
        ("--size", "big", "size"),
        ("--size", "9999TB", None),
        ("--growth", "lots", "growth"),
        ("--manual-tag", "daily", "manual_tags"),
        ("--policy", "nowhere.toml", "policy"),
    ],
)
def test_what_is_wrong_on_the_line_is_named(alone: Strongroom, option: str, value: str, field: str | None) -> None:
    options = {"--schedule": "daily 00:30", "--days": "3", option: value}
    ended = alone("retention", "simulate", *(word for pair in options.items() for word in pair), "--json")
    if field is None:
        ended.ok()
    else:
        assert ended.failed(2, "input.invalid").error["field"] == field


def test_too_many_runs_are_refused(alone: Strongroom) -> None:
    ended = alone("retention", "simulate", "--schedule", "* * * * *", "--days", "100", "--json").failed(2, "input.invalid")
    assert ended.error["field"] == "days"


def test_a_history_is_judged_by_the_default_policy(alone: Strongroom, tmp_path: Path) -> None:
    history = write(tmp_path / "backups.json", [entry(day) for day in range(1, 21)])
    document = alone.json("retention", "plan", "--history", history)
    assert [len(document["kept"]), document["expired"]] == [20, []]


def test_a_history_is_judged_by_a_policy_at_a_time(alone: Strongroom, tmp_path: Path) -> None:
    history = write(tmp_path / "backups.json", [entry(day) for day in range(1, 21)])
    policy = write(tmp_path / "policy.toml", "total_count = 3\n[minimums]\ndaily = 2\nweekly = 0\nmonthly = 0\n")
    document = alone.json("retention", "plan", "--history", history, "--policy", policy, "--now", "2026-01-10")
    assert ids(document["kept"]) == ["backup-09", "backup-08", "backup-07"]
    assert ids(document["expired"]) == [f"backup-{day:02}" for day in range(1, 7)]
    assert ids(document["untouched"]) == [f"backup-{day:02}" for day in range(20, 9, -1)]
    assert document["frozen"] is None
    out = alone("retention", "plan", "--history", history, "--policy", policy, "--now", "2026-01-10").ok().out
    assert re.search(r"backup-06 +daily +daily +0\.98 KiB +expire +beyond the total count: 3$", out, re.MULTILINE)
    assert "3 backups kept, 2.93 KiB: 3 daily; 6 expired; 11 not looked at." in out


def test_a_frozen_history_says_why(alone: Strongroom, tmp_path: Path) -> None:
    history = write(tmp_path / "h.json", [entry(1), entry(2), entry(3, size_bytes=400)])
    policy = write(tmp_path / "p.json", {"total_count": 1, "minimums": {"daily": 0, "weekly": 0, "monthly": 0}})
    argv = ("retention", "plan", "--history", history, "--policy", policy)
    document = alone.json(*argv)
    assert document["expired"] == []
    assert "suspiciously small" in document["frozen"]
    assert document["kept"][-1]["reason"].endswith("otherwise it would expire: beyond the total count: 1")
    assert "Frozen: nothing expires, because the newest backup" in alone(*argv).ok().out


def test_what_is_wrong_in_a_file_is_named_by_file_index_and_field(alone: Strongroom, tmp_path: Path) -> None:
    bad = write(tmp_path / "bad.json", [entry(1), entry(2, at="yesterday")])
    ended = alone("retention", "plan", "--history", bad).failed(2, "input.invalid")
    assert f"{bad}: [1].at: 'yesterday' is not a time" in ended.err
    assert (
        alone("retention", "plan", "--history", bad, "--json").failed(2, "input.invalid").error["field"] == "history[1].at"
    )
    good = write(tmp_path / "good.json", [entry(1)])
    policy = write(tmp_path / "policy.toml", "[minimums]\ndayly = 3\n")
    ended = alone("retention", "plan", "--history", good, "--policy", policy).failed(2, "input.invalid")
    assert f"{policy}: minimums.dayly: there is no such field" in ended.err
    for unreadable in (str(tmp_path / "nowhere.json"), str(tmp_path)):
        ended = alone("retention", "plan", "--history", unreadable).failed(2, "input.invalid")
        assert f"{unreadable}: cannot be read: " in ended.err
    assert "now 'soon' is not a time" in alone("retention", "plan", "--history", good, "--now", "soon").failed(2).err
    empty = write(tmp_path / "empty.json", "")
    alone("retention", "plan", "--history", empty).failed(2, "input.malformed")


def test_text_from_a_file_does_not_command_the_terminal(alone: Strongroom, tmp_path: Path) -> None:
    history = write(tmp_path / "h.json", [entry(1, id="\x1b[31mred", tags=["\x07"])])
    out = alone("retention", "plan", "--history", history).ok().out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\\x1b[31mred" in out
