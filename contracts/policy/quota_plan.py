"""How much of the bucket a project may take: the plans that there are, and the ceiling above all of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from contracts.errors import InvalidInput

MOST_QUOTA_BYTES: Final = 1024**4
"""1 TiB: no project may have more."""
_LEAST_QUOTA_BYTES: Final = 1_000_000
"""A backup of nothing at all takes some kilobytes; less than this is a number without its unit."""


class QuotaPlan(StrEnum):
    LIGHTWEIGHT = "lightweight"
    SERIOUS = "serious"
    CUSTOM = "custom"
    """As many bytes as were named; 1 TiB if none were."""


_BYTES: Final = {QuotaPlan.LIGHTWEIGHT: 5 * 10**9, QuotaPlan.SERIOUS: 25 * 10**9}


def quota_of(plan: QuotaPlan, custom_bytes: int | None = None) -> int:
    """Bytes that the plan allows.  Raises: InvalidInput naming `quota_bytes`, or `plan` where it fixes another number."""
    fixed = _BYTES.get(plan)
    if fixed is not None:
        if custom_bytes not in (None, fixed):
            raise InvalidInput(
                "input.invalid",
                f"the plan {plan} is {fixed} bytes: leave the number away, or take the plan {QuotaPlan.CUSTOM}",
                field="plan",
            )
        return fixed
    if custom_bytes is None:
        return MOST_QUOTA_BYTES
    if not _LEAST_QUOTA_BYTES <= custom_bytes <= MOST_QUOTA_BYTES:
        raise InvalidInput(
            "input.invalid",
            f"a quota of {custom_bytes} bytes is not within {_LEAST_QUOTA_BYTES}-{MOST_QUOTA_BYTES} (1 TiB)",
            field="quota_bytes",
        )
    return custom_bytes
