"""What a service keeps: limits, and what no limit touches."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from contracts.errors import InvalidInput
from contracts.policy.tags import check_tag_name

_MOST: Final = 1_000_000
"""Backups of one service; more is a mistyped number."""
_MOST_BYTES: Final = 2**63 - 1
"""What every program that reads our JSON can hold."""


class Per(StrEnum):
    """What the class `daily` counts."""

    RUN = "run"
    """Every daily backup."""
    DAY = "day"
    """UTC days with a daily backup, each represented by its newest: so that hourly schedules keep a week."""


class Minimums(msgspec.Struct, frozen=True, kw_only=True):
    """How many of each class are kept whatever the limits say.

    Apart from `Maximums`, so that a document that names one minimum leaves the others at their defaults, not at 0.
    """

    daily: int = 7
    weekly: int = 4
    monthly: int = 3


class Maximums(msgspec.Struct, frozen=True, kw_only=True):
    """How many of each class there may be; 0 is no limit."""

    daily: int = 0
    weekly: int = 0
    monthly: int = 0


class RetentionPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that exists is valid: it checks itself, and raises InvalidInput naming the field below `retention`.

    A minimum that is larger than a maximum or a total is no mistake: minimums beat every limit.
    """

    protected_tags: list[str] = msgspec.field(default_factory=lambda: ["protected"])
    """A backup that bears one of them is never deleted by a machine."""
    minimums: Minimums = Minimums()
    maximums: Maximums = Maximums()
    total_count: int | None = 50
    """The most backups, at least 1; null is no limit."""
    total_size_bytes: int | None = None
    """The most bytes of all backups, at least 1; null is no limit but the project's quota."""
    per: Per = Per.RUN
    suspicious_size_factor: float = 0.5
    """A newest backup smaller than this part of the usual size freezes retention; 0 switches that off."""

    def __post_init__(self) -> None:
        for tag in self.protected_tags:
            check_tag_name(tag, "retention.protected_tags")
        for group, counts in (("minimums", self.minimums), ("maximums", self.maximums)):
            for name in ("daily", "weekly", "monthly"):
                _check_within(getattr(counts, name), 0, _MOST, f"{group}.{name}")
        if self.total_count is not None:
            _check_within(self.total_count, 1, _MOST, "total_count", "; null is no limit")
        if self.total_size_bytes is not None:
            _check_within(self.total_size_bytes, 1, _MOST_BYTES, "total_size_bytes", "; null is no limit")
        # Written so that NaN fails too.
        if not 0 <= self.suspicious_size_factor <= 1:
            raise InvalidInput(
                "input.invalid",
                f"suspicious_size_factor {self.suspicious_size_factor} is not within 0-1; 0 switches the check off",
                field="retention.suspicious_size_factor",
            )

    @property
    def limits_nothing(self) -> bool:
        """Whether no backup can ever expire."""
        return self.maximums == Maximums() and self.total_count is None and self.total_size_bytes is None


def _check_within(value: int, least: int, most: int, name: str, also: str = "") -> None:
    if not least <= value <= most:
        raise InvalidInput("input.invalid", f"{name} {value} is not within {least}-{most}{also}", field=f"retention.{name}")
