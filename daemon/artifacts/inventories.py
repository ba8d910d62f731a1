"""The inventory of a manifest: `age(zstd(JSON))`, made by an agent, so nothing that it says of itself is believed."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import zstandard

from contracts.errors import Corrupt

_LIMIT_BYTES: Final = 64 * 1024 * 1024
_WINDOW_BYTES: Final = 128 * 1024 * 1024


def unpack_inventory(packed: bytes) -> Any:
    """From what the age file held.  Bounded by reading, not by what the frame says.

    Raises: ZstdError, msgspec.DecodeError, Corrupt `manifest.corrupt` when there is more than an inventory may have.
    """
    with zstandard.ZstdDecompressor(max_window_size=_WINDOW_BYTES).stream_reader(packed) as reader:
        plain = reader.read(_LIMIT_BYTES + 1)
    if len(plain) > _LIMIT_BYTES:
        raise Corrupt("manifest.corrupt", f"the inventory has more than {_LIMIT_BYTES} bytes")
    return msgspec.json.decode(plain)
