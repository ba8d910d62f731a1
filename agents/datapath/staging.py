"""Where finished parts wait for the store: in memory while it keeps up, in the spool when it does not.

One `Staging` serves all uploads of an agent, so the bounds hold for the whole process.  A part gets its whole room before
its first byte, and an upload fills one part at a time: whoever holds room needs nothing more to give it back.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Final

import structlog

from agents.datapath.blocks import BlockPool, blocks_for
from agents.datapath.limits import UploadLimits
from agents.datapath.places import MemoryPlace, Place, SpoolPlace
from agents.datapath.spool import Spool
from agents.datapath.stop import StopSignal
from contracts.errors import StrongroomError

log = structlog.get_logger()

_LOOK_AGAIN_S: Final = 0.25
"""A thread that waits for room looks this often whether its upload was stopped."""


class Staging:
    """The agent's room for encrypted parts.  All methods may be called from any thread."""

    def __init__(self, limits: UploadLimits) -> None:
        """Raises: InvalidInput `config.invalid` if the spool directory cannot be made or written."""
        self._memory = BlockPool(limits.memory_bytes)
        self._spool = Spool(Path(limits.spool_dir), limits.spool_bytes)
        self._room = threading.Condition()

    @property
    def spooled_bytes(self) -> int:
        """Room that is set aside in the spool at the moment."""
        return self._spool.used_bytes

    @property
    def used_bytes(self) -> int:
        """Room that is set aside in memory and spool at the moment."""
        with self._room:
            return self._memory.promised_bytes + self._spool.used_bytes

    def reserve(self, size_bytes: int, *, patience_s: float, stop: StopSignal) -> Place:
        """Room for a part, in memory if it is small and there is some within `patience_s`, or else on disk.

        Waits while both are full, which is what holds up the dump.
        Raises: Stopped; RunFailed `spool.full` when the disk is full and the part too large for memory.
        """
        small = 2 * size_bytes <= self._memory.total_bytes
        spill_at = time.monotonic() + patience_s
        disk_is_full = False
        while True:
            with self._room:
                stop.check()
                if small and self._memory.promise(blocks_for(size_bytes)):
                    return MemoryPlace(self._take_block, self._give_back_blocks, blocks_for(size_bytes))
                patient = small and (disk_is_full or time.monotonic() < spill_at)
                if patient or not self._spool.promise(size_bytes):
                    self._room.wait(_LOOK_AGAIN_S)
                    continue
            try:
                return self._open_on_disk(size_bytes)
            except StrongroomError as exc:
                if not small:
                    raise
                # What fits in memory can wait for memory: the dump is held up, which is better than to lose it.
                disk_is_full = True
                log.warning("spool.unusable", code=exc.code, reason=exc.message)

    def _open_on_disk(self, size_bytes: int) -> Place:
        def give_back() -> None:
            with self._room:
                self._spool.give_back(size_bytes)
                self._room.notify_all()

        try:
            fd = self._spool.open(size_bytes)
        except BaseException:
            give_back()
            raise
        return SpoolPlace(fd, self._spool.directory, give_back)

    def _take_block(self) -> memoryview:
        with self._room:
            return self._memory.take()

    def _give_back_blocks(self, taken: list[memoryview], promised: int) -> None:
        with self._room:
            self._memory.give_back(taken, promised)
            self._room.notify_all()
