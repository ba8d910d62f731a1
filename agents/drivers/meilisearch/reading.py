"""A dump on its way to the bucket: read from the directory, walked, and compared with what Meilisearch has counted."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import aiofiles

from agents.drivers.meilisearch.archive import BrokenDump, DumpContents, DumpWalk
from agents.drivers.meilisearch.dump_dir import open_dump
from agents.drivers.meilisearch.making import MadeDump
from agents.drivers.pipes import PipeWriter
from contracts.errors import RunFailed

READ_BYTES: Final = 512 * 1024
_SHOWN: Final = 5


async def read_dump(made: MadeDump, pipe: PipeWriter) -> list[str]:
    """Writes all of it into the pipe.  Raises: RunFailed `dump.incomplete`, `dump.failed`."""
    walk = DumpWalk()

    def opener(_: str, flags: int) -> int:
        return open_dump(made.path, flags)

    try:
        async with aiofiles.open(made.path, "rb", opener=opener) as file:
            while data := await file.read(READ_BYTES):
                await asyncio.to_thread(walk.feed, data)
                await pipe.write(data)
        made.contents = walk.finish()
    except BrokenDump as exc:
        what = f"Meilisearch says that its dump is done, but {made.path.name} is not whole: {exc}"
        raise RunFailed("dump.incomplete", f"{what}; look for full file systems and its log") from exc
    except BrokenPipeError:  # nobody reads any more
        raise
    except OSError as exc:
        raise RunFailed("dump.failed", f"the dump {made.path} cannot be read: {exc.strerror or exc}") from exc
    if made.exact is not None:
        _require_equal(made.exact, made.contents.documents)
    return []


def _require_equal(counted: dict[str, int], dumped: dict[str, int]) -> None:
    """Raises: RunFailed `dump.incomplete`."""
    if differences := _differences(counted, dumped):
        what = f"the dump does not hold what Meilisearch counted while it was made: {differences}"
        remedy = "a full temporary directory of Meilisearch (TMPDIR) cuts documents off without an error: look there first"
        raise RunFailed("dump.incomplete", f"{what}; {remedy}")


def changes_since(plan_counts: dict[str, Any], contents: DumpContents) -> list[str]:
    """Warnings: what is otherwise in the dump than in the inventory, which was taken when the run began."""
    differences = _differences(plan_counts, contents.documents)
    return [f"documents were written between the inventory and the dump: {differences}"] if differences else []


def _differences(counted: dict[str, int], dumped: dict[str, int]) -> str:
    """In words; none when both are equal."""
    differing = [uid for uid in sorted({*counted, *dumped}) if counted.get(uid) != dumped.get(uid)]
    shown = [_difference(uid, dumped.get(uid), counted.get(uid)) for uid in differing[:_SHOWN]]
    more = [f"and {len(differing) - _SHOWN} more"] if len(differing) > _SHOWN else []
    return "; ".join([*shown, *more])


def _difference(uid: str, dumped: int | None, counted: int | None) -> str:
    in_dump = "not in the dump" if dumped is None else f"{dumped} documents in the dump"
    counted_there = "unknown to Meilisearch" if counted is None else f"{counted} counted"
    return f"index {uid!r}: {in_dump}, {counted_there}"
