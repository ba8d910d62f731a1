"""An object of the store as the coordinator itself reads it: piece by piece, one ahead of whoever takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import structlog

from contracts.errors import Corrupt, Unavailable
from contracts.tasks import cancel_surely
from daemon.store.s3 import ObjectStore

log = structlog.get_logger()

PIECE_BYTES: Final = 2 * 1024 * 1024
"""Two of them are in memory: enough to hide a store's delay, whatever the object's size."""
_TRIES: Final = 4
_FIRST_PAUSE_S: Final = 0.5


async def object_pieces(store: ObjectStore, object_key: str, first: int, end: int) -> AsyncGenerator[bytes, None]:
    """The bytes from `first` on, before `end`, in order.

    Raises: Unavailable `store.unavailable`, Corrupt `store.missing`, `artifact.corrupt` for an object that is too short.
    """
    at = first
    reading = asyncio.create_task(_read(store, object_key, at, min(at + PIECE_BYTES, end)), name="content:read")
    try:
        while at < end:
            piece = await reading
            at += len(piece)
            reading = asyncio.create_task(_read(store, object_key, at, min(at + PIECE_BYTES, end)), name="content:read")
            yield piece
    finally:
        await cancel_surely(reading)


async def _read(store: ObjectStore, object_key: str, first: int, end: int) -> bytes:
    if first >= end:
        return b""
    for tries in range(1, _TRIES + 1):
        try:
            data = await store.read(object_key, first=first, count=end - first)
            break
        except Unavailable as exc:
            if tries == _TRIES:
                raise
            log.warning("content.read_again", at_byte=first, reason=exc.message, tries=tries)
            await asyncio.sleep(_FIRST_PAUSE_S * 2.0 ** (tries - 1))
    else:
        raise AssertionError("unreachable")
    if len(data) != end - first:
        raise Corrupt("artifact.corrupt", f"{object_key} ends at byte {first + len(data)}, before its record says")
    return data
