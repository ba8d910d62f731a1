"""How large the parts of an upload are: pure arithmetic that coordinator and agent both rely on."""

from __future__ import annotations

from typing import Final

from contracts.errors import error

MIB: Final = 1024 * 1024
MAX_PARTS: Final = 10_000
MIN_PART_BYTES: Final = 5 * MIB
MAX_PART_BYTES: Final = 5 * 1024 * MIB
MAX_OBJECT_BYTES: Final = 5 * 1024 * 1024 * MIB
"""Limits of Amazon S3's multipart upload, which the compatible stores keep."""

DEFAULT_PART_BYTES: Final = 8 * MIB
_FIXED_PARTS: Final = 5_000
_DOUBLE_EVERY: Final = 500


def base_part_size(estimate_bytes: int) -> int:
    """Bytes per part for an artifact that is expected to need `estimate_bytes`: at least 8 MiB, whole MiB.

    Twice the estimate fits in 10,000 parts, so an estimate that is off by half changes nothing for the agent.
    """
    wanted = min(2 * max(estimate_bytes, 0), MAX_OBJECT_BYTES)
    size = -(-wanted // MAX_PARTS)
    whole_mib = -(-size // MIB) * MIB
    return max(DEFAULT_PART_BYTES, min(whole_mib, MAX_PART_BYTES))


def part_size(base: int, number: int) -> int:
    """Bytes of part `number` (from 1) of an upload whose first parts have `base` bytes; the last part may be shorter.

    The first 5,000 parts are of one size.  After that the estimate was wrong, and the size doubles every 500 parts, so that
    10,000 parts reach 5 TiB from any base.  Source: Amazon S3 multipart upload limits (sizes may differ between parts).
    Raises: RunFailed `upload.too_large` beyond part 10,000.
    """
    if not 1 <= number <= MAX_PARTS:
        raise error("upload.too_large", f"part {number} is beyond the {MAX_PARTS} that one object may have")
    doublings = max(0, (number - 1 - _FIXED_PARTS) // _DOUBLE_EVERY + 1) if number > _FIXED_PARTS else 0
    return min(base << doublings, MAX_PART_BYTES)


def part_start(base: int, number: int) -> int:
    """Bytes of all parts before this one, which may be one more than there can be: the end of the last."""
    fixed = min(number - 1, _FIXED_PARTS)
    start = fixed * min(base, MAX_PART_BYTES)
    for step in range(_FIXED_PARTS + 1, number, _DOUBLE_EVERY):
        start += part_size(base, step) * min(_DOUBLE_EVERY, number - step)
    return start


def capacity(base: int) -> int:
    """Bytes that an upload with this base can hold: no more than an object may have."""
    total = sum(part_size(base, number) for number in range(1, MAX_PARTS + 1))
    return min(total, MAX_OBJECT_BYTES)
