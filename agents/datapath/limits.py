"""What the data path may use of the host, and how long it may take over things."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

MIB: Final = 1024 * 1024
GIB: Final = 1024 * MIB

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class RetryLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, and for how long in all, one request is tried."""

    tries: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    total_s: Seconds = 900.0
    """No further try begins later than this after the first."""
    first_pause_s: Seconds = 0.5
    longest_pause_s: Seconds = 30.0


class UploadLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one agent's uploads; `memory_bytes` and `spool_bytes` hold for all of them together."""

    spool_dir: str
    """Where encrypted parts wait that memory has no room for: on a disk, not in a memory file system."""
    zstd_level: Annotated[int, msgspec.Meta(ge=1, le=19)] = 3
    memory_bytes: Annotated[int, msgspec.Meta(ge=MIB, le=GIB)] = 24 * MIB
    """For encrypted parts.  A part of more than half of this always goes through the spool."""
    spool_bytes: Annotated[int, msgspec.Meta(ge=0)] = 4 * GIB
    """Two parts fit in any case, or an upload of large parts could never go on."""
    parts_in_flight: Annotated[int, msgspec.Meta(ge=1, le=16)] = 3
    """Of one artifact."""
    spill_after_s: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    """How long the dump is held up for a slow store before parts go to the spool instead."""
    dump_stall_s: Seconds = 1800.0
    """A dump that writes nothing for this long has failed."""
    request_stall_s: Seconds = 60.0
    """A request that moves nothing for this long is given up and tried again."""
    retry: RetryLimits = RetryLimits()


class DownloadLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of one download."""

    queue_bytes: Annotated[int, msgspec.Meta(ge=MIB, le=GIB)] = 4 * MIB
    """Encrypted bytes that were received and wait to be opened."""
    request_stall_s: Seconds = 60.0
    retry: RetryLimits = RetryLimits()
    """Starts anew whenever bytes arrived: a long download may be cut often, as long as it gets on."""
