"""The payload, sealed as it streams: any sizes in, sealed chunks out, cut to fit the caller's buffers.

The final chunk bears a mark, so a full chunk is held back until a further byte shows that it is not the final one.
"""

from __future__ import annotations

from contracts.age.buffers import Held, Scratch, Spill
from contracts.age.file_key import FileKey
from contracts.age.sizes import CHUNK_SIZE, SEALED_CHUNK_SIZE, TAG_SIZE
from contracts.age.stream import BytesLike, ChunkCipher, Progress, flat, flat_writable


class StreamEncryptor:
    """Seals one payload, given the file key and a fresh nonce that the caller wrote before it.

    Memory: 128 KiB, and for `update` the size of its largest result.  One thread at a time.  After a call has failed
    half-way (interrupted, out of memory) the payload cannot be continued: an index that was used must not be used again.
    """

    def __init__(self, file_key: FileKey, nonce: bytes) -> None:
        """Raises: BadKey unless `nonce` is 16 bytes."""
        self._cipher = ChunkCipher(file_key, nonce)
        self._index = 0
        self._held = Held(CHUNK_SIZE)
        self._spill = Spill(SEALED_CHUNK_SIZE)
        self._scratch = Scratch()
        self._finished = False
        self._busy = False

    def update_into(self, data: BytesLike, out: bytearray | memoryview) -> Progress:
        """Seal `data` into `out` until one of them is used up.  The way for large data: little is copied, nothing allocated.

        `out` may have any size and is filled to its last byte before a call returns with input left, so the parts of an
        upload get exactly their size.  With memoryviews:

            while data:
                done = encryptor.update_into(data, part[filled:])
                data, filled = data[done.consumed:], filled + done.produced
                if filled == len(part): ship the part, take an empty one

        `data` and `out` must not overlap.  Raises: RuntimeError after `finish` or `finish_into`.
        """
        source, target = flat(data), flat_writable(out)
        if self._finished:
            raise RuntimeError("the payload has been finished")
        self._enter()
        progress = self._push(source, target)
        self._busy = False
        return progress

    def finish_into(self, out: bytearray | memoryview) -> tuple[int, bool]:
        """Seal the final chunk: bytes written to `out`, and whether that was all.  If not, call again with new room.

        After all has been written, further calls write nothing.
        """
        target = flat_writable(out)
        self._enter()
        produced = self._spill.drain(target)
        if not self._finished and not self._spill:
            self._finished = True
            produced += self._seal(self._held.content, target[produced:], last=True)
        done = self._finished and not self._spill
        self._busy = False
        return produced, done

    def update(self, data: BytesLike) -> bytes:
        """The sealed chunks that `data` completes; often nothing.  One more copy than `update_into`."""
        source = flat(data)
        sealed_chunks = max(0, self._held.size + len(source) - 1) // CHUNK_SIZE
        out = self._scratch.of_size(len(self._spill) + sealed_chunks * SEALED_CHUNK_SIZE)
        self.update_into(source, out)
        return bytes(out)

    def finish(self) -> bytes:
        """The final sealed chunk.  Raises: RuntimeError if the payload is finished."""
        if self._finished:
            raise RuntimeError("the payload has been finished")
        out = self._scratch.of_size(len(self._spill) + self._held.size + TAG_SIZE)
        self.finish_into(out)
        return bytes(out)

    def _enter(self) -> None:
        if self._busy:
            raise RuntimeError("an earlier call failed or is still running: this payload cannot be continued")
        self._busy = True

    def _push(self, source: memoryview, target: memoryview) -> Progress:
        consumed, produced = 0, self._spill.drain(target)
        while self._held.size + len(source) - consumed > CHUNK_SIZE:
            if produced == len(target):
                return Progress(consumed, produced)
            if self._held.size:
                consumed += self._held.take(source[consumed:])
                produced += self._seal(self._held.content, target[produced:], last=False)
                self._held.size = 0
            else:
                chunk = source[consumed : consumed + CHUNK_SIZE]
                consumed += CHUNK_SIZE
                produced += self._seal(chunk, target[produced:], last=False)
        consumed += self._held.take(source[consumed:])
        return Progress(consumed, produced)

    def _seal(self, plain: memoryview, target: memoryview, *, last: bool) -> int:
        """Seal the next chunk into `target`, or by way of the spill if there is no room for all of it; bytes written."""
        index, self._index = self._index, self._index + 1
        if len(target) >= len(plain) + TAG_SIZE:
            return self._cipher.seal_into(index, plain, target, last=last)
        self._spill.put(self._cipher.seal_into(index, plain, self._spill.room, last=last))
        return self._spill.drain(target)
