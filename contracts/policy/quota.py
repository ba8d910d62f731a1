"""The arithmetic of a project's quota: what is reserved, granted, stored and given back, each exactly once.

Every function returns the record as it should be afterwards; the very same one when there is nothing to change, so that a
repetition after a crash changes nothing.  Whatever is done in whatever order, what is stored and reserved together does not
pass the quota, unless the quota itself was lowered: then nothing more is given out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.records import Reservation, UsageRecord

_SHARE: Final = 8


def free_bytes(usage: UsageRecord, quota_bytes: int) -> int:
    """What neither backups nor runs under way have; less than 0 after a quota was lowered."""
    return quota_bytes - usage.stored_bytes - usage.reserved_bytes


def reserve(usage: UsageRecord, run: str, estimate_bytes: int, quota_bytes: int) -> UsageRecord:
    """The run holds its estimate; the record is the same as before when there is no room for that."""
    if run in usage.reserved or estimate_bytes > free_bytes(usage, quota_bytes):
        return usage
    return _with(usage, run, Reservation(estimate_bytes=estimate_bytes))


def grant(usage: UsageRecord, run: str, attempt: int, artifact: str, wanted_bytes: int, quota_bytes: int) -> UsageRecord:
    """The artifact may have `wanted_bytes` in all, or as many of them as there is room for; never less than before.

    What it may have is `granted_bytes` of the result.  A run without a reservation is given nothing.
    """
    held = usage.reserved.get(run)
    if held is None or attempt < held.attempt:
        return usage
    now = held if attempt == held.attempt else Reservation(estimate_bytes=held.estimate_bytes, attempt=attempt)
    before = now.open.get(artifact, 0)
    # Counted from the quota, so that what an attempt before had held is free again.
    most = quota_bytes - usage.stored_bytes - (usage.reserved_bytes - held.held_bytes)
    room = most - (now.taken_bytes - before)
    after = max(before, min(wanted_bytes, room))
    if after == before and artifact in now.open:
        return usage if now is held else _with(usage, run, now)
    return _with(usage, run, msgspec.structs.replace(now, open={**now.open, artifact: max(0, after)}))


def ahead_bytes(usage: UsageRecord, run: str, attempt: int, artifact: str, ends: Sequence[int], quota_bytes: int) -> int:
    """Which of these ends, in order, the artifact may reach for although it needs the first only: beyond that no more than
    the run is expected to take, or an eighth of what is free, so that runs which ask early leave room for each other."""
    held = usage.reserved.get(run)
    expected = max(0, held.estimate_bytes - held.taken_bytes) if held is not None else 0
    fair = granted_bytes(usage, run, attempt, artifact) + max(expected, free_bytes(usage, quota_bytes) // _SHARE)
    return max([ends[0], *(end for end in ends if end <= fair)])


def granted_bytes(usage: UsageRecord, run: str, attempt: int, artifact: str) -> int:
    """How many bytes the artifact may have in all."""
    held = usage.reserved.get(run)
    return held.open.get(artifact, 0) if held is not None and held.attempt == attempt else 0


def close(usage: UsageRecord, run: str, attempt: int, artifact: str, size_bytes: int) -> UsageRecord:
    """The artifact is complete and has `size_bytes`, which were granted; the rest is free again."""
    held = usage.reserved.get(run)
    if held is None or held.attempt != attempt or artifact not in held.open:
        return usage
    assert size_bytes <= held.open[artifact], "an artifact is closed only with what it was granted"
    rest = {name: size for name, size in held.open.items() if name != artifact}
    return _with(usage, run, msgspec.structs.replace(held, closed_bytes=held.closed_bytes + size_bytes, open=rest))


def abort(usage: UsageRecord, run: str, attempt: int, artifact: str) -> UsageRecord:
    """Nothing of the artifact is left."""
    return close(usage, run, attempt, artifact, 0)


def commit(usage: UsageRecord, run: str, size_bytes: int) -> UsageRecord:
    """What the run held became a backup of `size_bytes`.  A run that holds nothing was committed or dropped before."""
    if run not in usage.reserved:
        return usage
    return msgspec.structs.replace(drop(usage, run), stored_bytes=usage.stored_bytes + size_bytes)


def drop(usage: UsageRecord, run: str) -> UsageRecord:
    """The run left nothing in the bucket."""
    if run not in usage.reserved:
        return usage
    return msgspec.structs.replace(usage, reserved={name: held for name, held in usage.reserved.items() if name != run})


def release(usage: UsageRecord, run: str, size_bytes: int) -> UsageRecord:
    """The backup's objects are gone.  Noted until `forget_release`, so that whoever repeats a cut deletion counts it once.

    A backup that was deleted before it was committed gives back what it held; committing it afterwards changes nothing.
    """
    if run in usage.released:
        return usage
    stored = usage.stored_bytes if run in usage.reserved else max(0, usage.stored_bytes - size_bytes)
    return msgspec.structs.replace(drop(usage, run), stored_bytes=stored, released=[*usage.released, run])


def forget_release(usage: UsageRecord, run: str) -> UsageRecord:
    """The backup's record is gone too: nobody can repeat the deletion any more."""
    if run not in usage.released:
        return usage
    return msgspec.structs.replace(usage, released=[each for each in usage.released if each != run])


def _with(usage: UsageRecord, run: str, reservation: Reservation) -> UsageRecord:
    return msgspec.structs.replace(usage, reserved={**usage.reserved, run: reservation})
