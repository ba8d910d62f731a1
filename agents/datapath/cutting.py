"""Where the bytes of an upload go: a pure rule that cuts one sequence of unknown length into parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from contracts.errors import error
from contracts.multipart import MAX_OBJECT_BYTES, part_size


class PartRoom(NamedTuple):
    """How many bytes part `number` holds when it is full; only the last part may end sooner."""

    number: int
    size_bytes: int


def part_rooms(base_part_bytes: int) -> Iterator[PartRoom]:
    """Part after part, 5 TiB in all.

    Raises: RunFailed `upload.too_large` when a part is asked for that an object cannot have.
    """
    left = MAX_OBJECT_BYTES
    number = 1
    while left:
        size = min(part_size(base_part_bytes, number), left)
        yield PartRoom(number, size)
        left -= size
        number += 1
    raise error("upload.too_large", "the artifact is larger than the 5 TiB that one object may have")
