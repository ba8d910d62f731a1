"""Retention policies are changed by what is named alone, and told in a few lines."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import InvalidInput
from contracts.policy.retention_policy import Maximums, Minimums, Per, RetentionPolicy
from daemon.cli.policy_views import policy_lines
from daemon.cli.retention_options import changed_policy

DEFAULT = RetentionPolicy()


def changed(policy: RetentionPolicy = DEFAULT, **given: Any) -> RetentionPolicy:
    nothing = {"keep_count": None, "keep_size": None, "per": None, "protect_tag": None, "suspicious_size": None}
    return changed_policy(policy, **{**nothing, "minimums": {}, "maximums": {}, **given})


def test_what_is_not_named_stays_as_it_was() -> None:
    before = RetentionPolicy(
        total_count=9, total_size_bytes=10**9, minimums=Minimums(daily=1), maximums=Maximums(weekly=2), per=Per.DAY
    )
    assert changed(before) == before
    after = changed(before, minimums={"daily": None, "weekly": 5}, keep_count="12")
    assert after == RetentionPolicy(
        total_count=12,
        total_size_bytes=10**9,
        minimums=Minimums(daily=1, weekly=5),
        maximums=Maximums(weekly=2),
        per=Per.DAY,
    )


def test_no_limit_is_spelled_none_and_sizes_have_units() -> None:
    after = changed(RetentionPolicy(total_size_bytes=5), keep_count="none", keep_size="None")
    assert (after.total_count, after.total_size_bytes) == (None, None)
    assert changed(keep_size="20GB").total_size_bytes == 20_000_000_000


def test_protected_tags_are_replaced_and_an_empty_text_empties_them() -> None:
    assert changed(protect_tag=["keep", "audit", "keep"]).protected_tags == ["keep", "audit"]
    assert changed(protect_tag=[""]).protected_tags == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"keep_count": "many"}, "keep_count"),
        ({"keep_count": "-1"}, "keep_count"),
        ({"keep_count": "\u0663"}, "keep_count"),
        ({"keep_count": "0"}, "retention.total_count"),
        ({"keep_count": "9" * 12}, "retention.total_count"),
        ({"keep_count": "9" * 5000}, "keep_count"),
        ({"keep_size": "huge"}, "keep_size"),
        ({"keep_size": "0"}, "retention.total_size_bytes"),
        ({"keep_size": "9999999999999TB"}, "retention.total_size_bytes"),
        ({"protect_tag": ["not a tag"]}, "retention.protected_tags"),
        ({"minimums": {"daily": 10**9}}, "retention.minimums.daily"),
        ({"maximums": {"monthly": 10**9}}, "retention.maximums.monthly"),
        ({"suspicious_size": 2.0}, "retention.suspicious_size_factor"),
        ({"suspicious_size": float("nan")}, "retention.suspicious_size_factor"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        changed(**given)
    assert raised.value.field == field


def test_a_policy_is_told_in_a_few_lines() -> None:
    assert policy_lines(RetentionPolicy()) == [
        "at most 50 backups",
        "at least 7 daily, 4 weekly, 3 monthly",
        "always those tagged protected",
        "nothing is deleted while the newest is smaller than 0.5 of the usual size",
    ]


def test_a_policy_says_what_it_leaves_open() -> None:
    open_ = RetentionPolicy(
        total_count=None,
        minimums=Minimums(daily=0, weekly=0, monthly=0),
        maximums=Maximums(daily=14),
        protected_tags=[],
        per=Per.DAY,
        suspicious_size_factor=0,
    )
    assert policy_lines(open_) == [
        "no limit of count or size but the project's quota",
        "no minimums",
        "at most 14 daily",
        "daily counts days, each by its newest backup",
        "no tag protects a backup",
        "a suspiciously small backup does not stop deletion",
    ]
    assert policy_lines(RetentionPolicy(total_size_bytes=20 * 10**9))[0] == "at most 50 backups and 20 GB"
