"""Reading a sealed record while a rotation moves it: it lies beside its place until it lies in it again."""

from __future__ import annotations

from typing import Final, TypeVar

from daemon.catalog.buckets import RecordBucket, Stored

T = TypeVar("T")

BESIDE: Final = "_rotation"
"""First token of where a value lies while its place is being erased; no project's name begins so."""


def beside(place: str) -> str:
    return f"{BESIDE}.{place}"


async def find_sealed(bucket: RecordBucket[T], place: str) -> Stored[T] | None:
    """The record, wherever a rotation has it at this moment; None when there is none."""
    # Once more in the end, since the move may have been over between the first look and the second.
    for name in (place, beside(place), place):
        if (stored := await bucket.get(name)) is not None:
            return stored
    return None
