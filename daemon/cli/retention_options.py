"""Retention policies as the command line spells them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import typer

from contracts.errors import InvalidInput
from contracts.policy.retention_policy import Maximums, Minimums, Per, RetentionPolicy
from daemon.cli.sizes import parse_size

_NO_LIMIT: Final = "none"
_DIGITS: Final = 12
"""More than any count that a policy takes."""


def _minimum(name: str) -> Any:
    help_ = f"How many {name} backups are kept whatever the limits say."
    return typer.Option(f"--min-{name}", metavar="N", min=0, help=help_, show_default=False)


def _maximum(name: str) -> Any:
    help_ = f"How many {name} backups there may be; 0 is no limit."
    return typer.Option(f"--max-{name}", metavar="N", min=0, help=help_, show_default=False)


NewPolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy", metavar="FILE", help="What is kept: JSON or TOML; the default policy without it.", show_default=False
    ),
]
ReplacingPolicyOption = Annotated[
    Path | None,
    typer.Option(
        "--policy", metavar="FILE", help="A whole policy in place of the one there is: JSON or TOML.", show_default=False
    ),
]
KeepCountOption = Annotated[
    str | None,
    typer.Option("--keep-count", metavar="N|none", help="The most backups of the service.", show_default=False),
]
KeepSizeOption = Annotated[
    str | None,
    typer.Option("--keep-size", metavar="SIZE|none", help="The most they may take, such as 20GB.", show_default=False),
]
MinDailyOption = Annotated[int | None, _minimum("daily")]
MinWeeklyOption = Annotated[int | None, _minimum("weekly")]
MinMonthlyOption = Annotated[int | None, _minimum("monthly")]
MaxDailyOption = Annotated[int | None, _maximum("daily")]
MaxWeeklyOption = Annotated[int | None, _maximum("weekly")]
MaxMonthlyOption = Annotated[int | None, _maximum("monthly")]
PerOption = Annotated[
    Per | None,
    typer.Option(
        "--per",
        metavar="run|day",
        help="What the class daily counts: each run, or one a day, so that hourly schedules keep a week.",
        show_default=False,
    ),
]
ProtectTagOption = Annotated[
    list[str] | None,
    typer.Option(
        "--protect-tag",
        metavar="TAG",
        help="Backups with this tag are never deleted by a machine; the list is replaced. May be repeated.",
        show_default=False,
    ),
]
SuspiciousSizeOption = Annotated[
    float | None,
    typer.Option(
        "--suspicious-size",
        metavar="FACTOR",
        min=0,
        max=1,
        help="Delete nothing while the newest backup is smaller than this part of the usual size; 0 switches that off.",
        show_default=False,
    ),
]


def changed_policy(
    policy: RetentionPolicy,
    *,
    keep_count: str | None,
    keep_size: str | None,
    minimums: dict[str, int | None],
    maximums: dict[str, int | None],
    per: Per | None,
    protect_tag: list[str] | None,
    suspicious_size: float | None,
) -> RetentionPolicy:
    """The policy with what was given in place of what was there.  Raises: InvalidInput naming the field."""
    changes: dict[str, Any] = {}
    if keep_count is not None:
        changes["total_count"] = _count(keep_count)
    if keep_size is not None:
        changes["total_size_bytes"] = None if _is_no_limit(keep_size) else parse_size(keep_size, "keep_size")
    if protect_tag is not None:
        # An empty text empties the list: the shell has no other way to say it.
        changes["protected_tags"] = [tag for tag in dict.fromkeys(protect_tag) if tag]
    if per is not None:
        changes["per"] = per
    if suspicious_size is not None:
        changes["suspicious_size_factor"] = suspicious_size
    least: Minimums = msgspec.structs.replace(policy.minimums, **_given(minimums))
    most: Maximums = msgspec.structs.replace(policy.maximums, **_given(maximums))
    return msgspec.structs.replace(policy, minimums=least, maximums=most, **changes)


def _given(counts: dict[str, int | None]) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number is not None}


def _is_no_limit(text: str) -> bool:
    return text.strip().lower() == _NO_LIMIT


def _count(text: str) -> int | None:
    if _is_no_limit(text):
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise InvalidInput(
            "input.invalid", f"keep_count {text[:60]!r} is neither a number of backups nor {_NO_LIMIT}", field="keep_count"
        )
    return int(text)
