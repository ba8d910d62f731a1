"""How far a transfer is: counters that its threads write and anybody may read at any time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TransferMeter:
    """Each counter has one writer, so none needs a lock."""

    plain_bytes: int = 0
    """Native bytes read from the dump (of a restore: handed to the tool)."""
    compressed_bytes: int = 0
    """What came out of compression, before it was encrypted."""
    stored_bytes: int = 0
    """Bytes the store has confirmed (of a restore: received from it)."""
    parts: int = 0
    spooled_parts: int = 0
    retries: int = 0
