"""The payload, opened as it streams: bytes come out only after the whole chunk they stand in has proved authentic.

What comes out does not depend on how the input was cut.  If damage is found in a call that has already written plaintext,
the call returns that, and the next one raises the error: at the latest `finish`, without which nothing is complete.
"""

from __future__ import annotations

from contracts.age.buffers import Held, Scratch, Spill
from contracts.age.errors import BadFile, PayloadCorrupt, TrailingData, Truncated
from contracts.age.file_key import FileKey
from contracts.age.sizes import CHUNK_SIZE, SEALED_CHUNK_SIZE, TAG_SIZE
from contracts.age.stream import BytesLike, ChunkCipher, Progress, flat, flat_writable


class StreamDecryptor:
    """Opens one payload from its first chunk on, that is without the nonce.

    Memory: 128 KiB, and for `feed` the size of its largest result.  One thread at a time.
    """

    def __init__(self, file_key: FileKey, nonce: bytes) -> None:
        """Raises: BadKey unless `nonce` is 16 bytes."""
        self._cipher = ChunkCipher(file_key, nonce)
        self._index = 0
        self._held = Held(SEALED_CHUNK_SIZE)
        # Every chunk is opened here: a caller's buffer never holds a byte that has not been authenticated.
        self._spill = Spill(CHUNK_SIZE)
        self._scratch = Scratch()
        self._final_seen = False
        self._finished = False
        self._failure: BadFile | None = None
        self._busy = False

    def feed_into(self, data: BytesLike, out: bytearray | memoryview) -> Progress:
        """Open `data` into `out` until one of them is used up: as `StreamEncryptor.update_into`, the way for large data.

        Raises: PayloadCorrupt or TrailingData, in this and every later call; RuntimeError after `finish`.
        """
        source, target = flat(data), flat_writable(out)
        self._enter()
        if self._finished:
            raise RuntimeError("the payload has been finished")
        consumed, produced = 0, self._spill.drain(target)
        try:
            while consumed < len(source) and not self._spill:
                taken, written = self._step(source[consumed:], target[produced:])
                consumed, produced = consumed + taken, produced + written
        except BadFile as exc:
            self._failure = exc
            if not produced:
                raise
        self._busy = False
        return Progress(consumed, produced)

    def finish_into(self, out: bytearray | memoryview) -> tuple[int, bool]:
        """Open the final chunk: bytes written to `out`, and whether that was all.  If not, call again with new room.

        Once this is true the payload is complete and authentic, and further calls write nothing.
        Raises: Truncated if there is no final chunk; PayloadCorrupt if what is there is not it.
        """
        target = flat_writable(out)
        self._enter()
        produced = self._spill.drain(target)
        if not self._finished and not self._spill:
            try:
                produced += self._open_final(target[produced:])
            except BadFile as exc:
                self._failure = exc
                # What has been drained is authentic and gets out first.
                if not produced:
                    raise
            self._finished = True
        done = self._finished and self._failure is None and not self._spill
        self._busy = False
        return produced, done

    def feed(self, data: BytesLike) -> bytes:
        """The plaintext of the chunks that `data` completes; often nothing.  One more copy than `feed_into`."""
        source = flat(data)
        opened_chunks = (self._held.size + len(source)) // SEALED_CHUNK_SIZE
        out = self._scratch.of_size(len(self._spill) + opened_chunks * CHUNK_SIZE)
        return bytes(out[: self.feed_into(source, out).produced])

    def finish(self) -> bytes:
        """The plaintext of the final chunk, if it did not show its mark before: all is complete and authentic.

        Raises: as `finish_into`; RuntimeError if the payload is finished.
        """
        if self._finished and self._failure is None:
            raise RuntimeError("the payload has been finished")
        out = self._scratch.of_size(len(self._spill) + CHUNK_SIZE)
        produced, done = self.finish_into(out)
        if not done and self._failure is not None:
            raise self._failure
        return bytes(out[:produced])

    def _enter(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._busy:
            raise RuntimeError("an earlier call failed or is still running: this payload cannot be continued")
        self._busy = True

    def _step(self, source: memoryview, target: memoryview) -> tuple[int, int]:
        """Take at most one chunk of `source`: bytes taken, and bytes written to `target`."""
        if self._final_seen:
            raise TrailingData(f"bytes follow the final chunk {self._index - 1}", chunk_index=self._index)
        if not self._held.size and len(source) >= SEALED_CHUNK_SIZE:
            return SEALED_CHUNK_SIZE, self._open_full(source[:SEALED_CHUNK_SIZE], target)
        taken, written = self._held.take(source), 0
        if self._held.is_full:
            written = self._open_full(self._held.content, target)
            self._held.size = 0
        return taken, written

    def _open_full(self, sealed: memoryview, target: memoryview) -> int:
        """A chunk of full size may or may not be the final one: its tag tells, without waiting for what comes after it."""
        index, self._index = self._index, self._index + 1
        try:
            size = self._cipher.open_into(index, sealed, self._spill.room, last=False)
        except PayloadCorrupt as exc:
            try:
                size = self._cipher.open_into(index, sealed, self._spill.room, last=True)
            except PayloadCorrupt:
                raise exc from None
            self._final_seen = True
        self._spill.put(size)
        return self._spill.drain(target)

    def _open_final(self, target: memoryview) -> int:
        if self._final_seen:
            return 0
        if self._held.size < TAG_SIZE:
            raise Truncated(f"the payload ends without a final chunk, after {self._index} others")
        self._spill.put(self._cipher.open_into(self._index, self._held.content, self._spill.room, last=True))
        self._final_seen = True
        return self._spill.drain(target)
