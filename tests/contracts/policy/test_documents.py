"""Policies and histories as people write them."""

from __future__ import annotations

import json

import pytest

from contracts.errors import InvalidInput
from contracts.policy.documents import parse_moment, read_history, read_policy
from contracts.policy.retention import Maximums, Minimums, Per, RetentionPolicy, RunFacts
from contracts.records import RunState
from contracts.wire import Decoder, encode
from tests.contracts.policy.histories import moment

GOOD = {"id": "a", "at": "2026-01-01T00:30:00Z", "size_bytes": 5, "tags": ["daily"], "automatic": True}


def history(*entries: object) -> bytes:
    return json.dumps(entries).encode()


def test_a_history() -> None:
    assert read_history(history(GOOD, {**GOOD, "id": "b", "state": "failed", "project": "acme"}), "h.json") == [
        RunFacts(id="a", at=moment("2026-01-01T00:30"), size_bytes=5, tags=["daily"], automatic=True),
        RunFacts(id="b", at=moment("2026-01-01T00:30"), size_bytes=5, tags=["daily"], automatic=True, state=RunState.FAILED),
    ]
    assert read_history(b"\xef\xbb\xbf[]", "h.json") == []


def test_without_a_word_about_it_a_backup_is_automatic_if_it_bears_a_time_tag() -> None:
    entries = [{"id": tag, "at": "2026-01-01", "size_bytes": 1, "tags": [tag]} for tag in ("weekly", "release")]
    assert [run.automatic for run in read_history(history(*entries), "h.json")] == [True, False]


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (history(GOOD, {**GOOD, "id": "b", "at": "yesterday"}), "[1].at"),
        (history(GOOD, {**GOOD, "id": "b", "at": 7}), "[1].at"),
        (history({**GOOD, "at": "0001-01-01T00:00+10:00"}), "[0].at"),
        (history({**GOOD, "size_bytes": "5"}), "[0].size_bytes"),
        (history({**GOOD, "size_bytes": -5}), "[0].size_bytes"),
        (history({**GOOD, "size_bytes": 5.5}), "[0].size_bytes"),
        (history({**GOOD, "tags": "daily"}), "[0].tags"),
        (history({**GOOD, "tags": ["daily", None]}), "[0].tags[1]"),
        (history({**GOOD, "automatic": "yes"}), "[0].automatic"),
        (history({**GOOD, "state": "done"}), "[0].state"),
        (history({**GOOD, "id": ""}), "[0].id"),
        (history(GOOD, {**GOOD, "id": "b"}, GOOD), "[2].id"),
        (history(GOOD, [GOOD]), "[1]"),
    ],
)
def test_what_is_wrong_in_a_history_is_named_by_file_index_and_field(data: bytes, where: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_history(data, "h.json")
    assert caught.value.field == f"history{where}"
    assert caught.value.message.startswith(f"h.json: {where}: ")


def test_a_missing_field_is_named() -> None:
    for field in ("id", "at", "size_bytes"):
        with pytest.raises(InvalidInput, match=rf"h.json: \[0\]: .*`{field}`"):
            read_history(history({name: value for name, value in GOOD.items() if name != field}), "h.json")


@pytest.mark.parametrize("data", [b"[1,", b"[" * 100_000, b"[{" * 100_000])
def test_a_list_that_goes_wrong_within_is_told_of_the_file_too(data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^input\.\w+: h\.json: "):
        read_history(data, "h.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[", b"\xff\xfe", b'{"kept": []}', b"7", b"null"])
def test_what_is_no_history_at_all_is_told_of_the_file(data: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^input\.\w+: h\.json: ") as caught:
        read_history(data, "h.json")
    assert caught.value.field == "history"


def test_times_are_utc_unless_they_say_otherwise() -> None:
    assert parse_moment("2026-01-01T00:30") == parse_moment("2026-01-01 02:30+02:00") == moment("2026-01-01T00:30")


TOML = b"""
protected_tags = ["protected", "legal"]
total_count = "null"
total_size_bytes = 53_687_091_200
per = "day"
suspicious_size_factor = 0.3

[minimums]
daily = 14

[maximums]
monthly = 12
"""
POLICY = RetentionPolicy(
    protected_tags=["protected", "legal"],
    total_count=None,
    total_size_bytes=53_687_091_200,
    per=Per.DAY,
    suspicious_size_factor=0.3,
    minimums=Minimums(daily=14, weekly=4, monthly=3),
    maximums=Maximums(monthly=12),
)


def test_a_policy_in_toml_and_json() -> None:
    assert read_policy(TOML, "p.toml") == POLICY
    assert read_policy(encode(POLICY), "p.json") == POLICY
    assert read_policy(b" {}", "p.json") == read_policy(b"", "p.toml") == RetentionPolicy()
    assert Decoder[RetentionPolicy](RetentionPolicy).decode(encode(POLICY)) == POLICY


def test_the_defaults_are_those_of_the_design() -> None:
    policy = RetentionPolicy()
    assert (policy.minimums.daily, policy.minimums.weekly, policy.minimums.monthly) == (7, 4, 3)
    assert (policy.maximums.daily, policy.maximums.weekly, policy.maximums.monthly) == (0, 0, 0)
    assert (policy.total_count, policy.total_size_bytes, policy.per) == (50, None, "run")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("total_count = 0", ".total_count"),
        ("total_count = -1", ".total_count"),
        ("total_count = 1.5", ".total_count"),
        ('total_count = "none"', ".total_count"),
        ("total_count = true", ".total_count"),
        ("total_size_bytes = 0", ".total_size_bytes"),
        ("minimums = 7", ".minimums"),
        ("minimums.daily = -1", ".minimums.daily"),
        ("maximums.weekly = 1000001", ".maximums.weekly"),
        ('maximums.weekly = "null"', ".maximums.weekly"),
        ("minimum.daily = 7", ".minimum"),
        ("minimums.dayly = 7", ".minimums.dayly"),
        ('per = "hour"', ".per"),
        ('protected_tags = ["not a tag"]', ".protected_tags"),
        ('protected_tags = "protected"', ".protected_tags"),
        ("suspicious_size_factor = 1.5", ".suspicious_size_factor"),
        ("suspicious_size_factor = nan", ".suspicious_size_factor"),
        ("suspicious_size_factor = -0.5", ".suspicious_size_factor"),
    ],
)
def test_what_is_wrong_in_a_policy_is_named_by_file_and_field(text: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_policy(text.encode(), "p.toml")
    assert caught.value.code == "input.invalid"
    assert caught.value.field == f"policy{field}"
    assert caught.value.message.startswith(f"p.toml: {field[1:]}: ")


@pytest.mark.parametrize("data", [b"{", b"[7]", b"= 7", b"\xff", b'{"total_count": NaN}', b"{" * 100_000, b"[[[[", b"[1]\n"])
def test_what_is_no_policy_at_all_is_told_of_the_file(data: bytes) -> None:
    for name in ("policy.json", "policy.toml"):
        with pytest.raises(InvalidInput, match=rf"^input\.\w+: {name}: ") as caught:
            read_policy(data, name)
        assert caught.value.field is not None
        assert caught.value.field.startswith("policy")
