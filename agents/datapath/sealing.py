"""The second worker thread of an upload: compressed chunks → age → parts, hashed on the way.

MD5 beside SHA-256: it is the only checksum that every S3 store computes over a part and reports (as its ETag), and with
`Content-MD5` the store refuses a part that was damaged on the way instead of keeping it.  TLS protects the line only, not
what proxies and gateways behind it do.  Other checksums would have to be known when the URL is signed.  Measured per GB
stored: MD5 1.9 s of CPU time, SHA-256 0.8 s, encryption 0.6 s; of a whole backup of row data MD5 is 8 %.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import msgspec

from agents.datapath.channel import Channel
from agents.datapath.cutting import PartRoom, part_rooms
from agents.datapath.limits import UploadLimits
from agents.datapath.meter import TransferMeter
from agents.datapath.places import Place
from agents.datapath.staging import Staging
from agents.datapath.stop import StopSignal
from contracts.age import Encryptor, Recipient


class SealedPart:
    """A part that is ready to be sent.  Whoever receives it releases it."""

    __slots__ = ("end_bytes", "md5", "number", "place", "size_bytes")

    def __init__(self, number: int, size_bytes: int, end_bytes: int, md5: bytes, place: Place) -> None:
        self.number = number
        self.size_bytes = size_bytes
        self.end_bytes = end_bytes  # of the artifact, up to and including this part
        self.md5 = md5
        self.place = place

    def release(self) -> None:
        self.place.release()


class SealedTotal(msgspec.Struct, frozen=True):
    """What was made of a dump."""

    stored_bytes: int
    sha256: str


class PartSealer:
    """Encrypts into parts.  Whatever happens, the part that is being filled is released by `close`."""

    def __init__(
        self,
        recipients: Sequence[Recipient],
        base_part_bytes: int,
        *,
        staging: Staging,
        limits: UploadLimits,
        stop: StopSignal,
        meter: TransferMeter,
        deliver: Callable[[SealedPart], object],
    ) -> None:
        self._encryptor = Encryptor(recipients)
        self._rooms = part_rooms(base_part_bytes)
        self._staging = staging
        self._patience_s = limits.spill_after_s
        self._spill_after_s = limits.spill_after_s
        self._stop = stop
        self._meter = meter
        self._deliver = deliver
        self._sha256 = hashlib.sha256()
        self._stored_bytes = 0
        self._room: PartRoom | None = None
        self._place: Place | None = None
        self._filled = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def seal_all(self, chunks: Channel[bytes]) -> SealedTotal:
        """Returns when the channel was closed and the last part was delivered.

        Raises: Stopped; RunFailed `spool.full`, `upload.too_large`.
        """
        try:
            self._append(memoryview(self._encryptor.preamble))
            while (chunk := chunks.get()) is not None:
                self._stop.check()
                self._encrypt(memoryview(chunk))
            self._finish()
            return SealedTotal(self._stored_bytes, self._sha256.hexdigest())
        finally:
            if self._place is not None:
                self._place.release()

    def _encrypt(self, chunk: memoryview) -> None:
        while chunk:
            target = self._target()
            done = self._encryptor.update_into(chunk, target)
            chunk = chunk[done.consumed :]
            self._filled_with(target[: done.produced])

    def _finish(self) -> None:
        done = False
        while not done:
            target = self._target()
            produced, done = self._encryptor.finish_into(target)
            self._filled_with(target[:produced])
        self._end_part()

    def _append(self, data: memoryview) -> None:
        while data:
            target = self._target()[: len(data)]
            target[:] = data[: len(target)]
            data = data[len(target) :]
            self._filled_with(target)

    def _target(self) -> memoryview:
        """Where the next bytes go: not empty, and not beyond the current part's end."""
        if self._room is not None and self._filled == self._room.size_bytes:
            self._end_part()
        if self._place is None or self._room is None:
            self._begin_part()
            assert self._place is not None
            assert self._room is not None
        return self._place.space()[: self._room.size_bytes - self._filled]

    def _begin_part(self) -> None:
        self._room = next(self._rooms)
        self._place = self._staging.reserve(self._room.size_bytes, patience_s=self._patience_s, stop=self._stop)
        # While the store is slow, every part would wait for its turn in vain: wait again only when memory had room.
        self._patience_s = 0.0 if self._place.on_disk else self._spill_after_s
        self._meter.spooled_parts += self._place.on_disk
        self._filled = 0
        self._md5 = hashlib.md5(usedforsecurity=False)

    def _filled_with(self, sealed: memoryview) -> None:
        assert self._place is not None
        self._sha256.update(sealed)
        self._md5.update(sealed)
        self._stored_bytes += len(sealed)
        self._filled += len(sealed)
        self._place.advance(len(sealed))

    def _end_part(self) -> None:
        assert self._place is not None
        assert self._room is not None
        self._place.end()
        part = SealedPart(self._room.number, self._filled, self._stored_bytes, self._md5.digest(), self._place)
        self._room = self._place = None
        self._deliver(part)
