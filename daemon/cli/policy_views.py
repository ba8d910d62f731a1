"""A retention policy in words."""

from __future__ import annotations

from contracts.policy.retention_policy import Maximums, Minimums, Per, RetentionPolicy
from daemon.cli.figures import count
from daemon.cli.plain_text import visible
from daemon.cli.sizes import limit_size


def policy_lines(policy: RetentionPolicy) -> list[str]:
    """A line for each thing that it says, what it leaves open included where silence could be misread."""
    return [
        _totals(policy),
        f"at least {_counts(policy.minimums)}" if any(_numbers(policy.minimums)) else "no minimums",
        *([f"at most {_counts(policy.maximums)}"] if any(_numbers(policy.maximums)) else []),
        *(["daily counts days, each by its newest backup"] if policy.per is Per.DAY else []),
        f"always those tagged {' or '.join(map(visible, policy.protected_tags))}"
        if policy.protected_tags
        else "no tag protects a backup",
        f"nothing is deleted while the newest is smaller than {policy.suspicious_size_factor:g} of the usual size"
        if policy.suspicious_size_factor
        else "a suspiciously small backup does not stop deletion",
    ]


def _totals(policy: RetentionPolicy) -> str:
    limits = [
        count(policy.total_count, "backup") if policy.total_count is not None else "",
        limit_size(policy.total_size_bytes) if policy.total_size_bytes is not None else "",
    ]
    named = [limit for limit in limits if limit]
    return f"at most {' and '.join(named)}" if named else "no limit of count or size but the project's quota"


def _numbers(counts: Minimums | Maximums) -> tuple[int, int, int]:
    return counts.daily, counts.weekly, counts.monthly


def _counts(counts: Minimums | Maximums) -> str:
    pairs = zip(_numbers(counts), ("daily", "weekly", "monthly"), strict=True)
    return ", ".join(f"{number} {name}" for number, name in pairs if number)
