"""From stored bytes to what is kept or sent of them: what a worker thread does with an artifact as it arrives.

Whatever is written is only worth something after `write` has returned: then every byte was authentic at its place, and the
object is the one of the record, down to its digest.  An attacker who can write to the bucket can encrypt to our recipients
as well as we can, so a file that opens is not yet the file that was stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import IO, Final, cast

import zstandard

from contracts.age import AgeError, Decryptor, Identity, NoIdentityMatches
from contracts.errors import StrongroomError, error
from contracts.records import ArtifactRecord
from daemon.artifacts.byte_pipe import BytePipe

_MAX_WINDOW_BYTES: Final = 128 * 1024 * 1024
"""What the `zstd` program accepts by default; ours are 8 MiB at most."""
_PIECE_BYTES: Final = 1024 * 1024
"""Of native data, however well it is compressed: memory does not depend on the artifact."""


class ObjectSource:
    """The object's bytes as they come through the pipe, counted and hashed."""

    def __init__(self, artifact: ArtifactRecord, pipe: BytePipe) -> None:
        self._artifact = artifact
        self._pipe = pipe
        self._sha256 = hashlib.sha256()

    def next(self) -> bytes:
        """The next chunk; empty at the end, where the digest has proved right.  Raises: Corrupt, PipeCancelled."""
        chunk = self._pipe.get()
        if chunk:
            self._sha256.update(chunk)
        elif self._sha256.hexdigest() != self._artifact.sha256:
            raise corrupt(self._artifact, "its SHA-256 is not the one of its record")
        return chunk


class EncryptedCopy:
    """The object as it lies in the bucket: a standard age file."""

    def __init__(self, artifact: ArtifactRecord) -> None:
        self._artifact = artifact

    def write(self, pipe: BytePipe, out: Callable[[bytes | memoryview], object]) -> None:
        """Raises: Corrupt `artifact.corrupt`; what `out` raises."""
        source = ObjectSource(self._artifact, pipe)
        while chunk := source.next():
            out(chunk)


class PlainCopy:
    """The engine's native dump, opened where it is read."""

    def __init__(self, artifact: ArtifactRecord, identity: Identity, header: bytes, payload_offset: int) -> None:
        """`header` followed by the object from `payload_offset` on is an age file for `identity`."""
        self._artifact = artifact
        self._identity = identity
        self._header = header
        self._payload_offset = payload_offset

    def write(self, pipe: BytePipe, out: Callable[[bytes | memoryview], object]) -> None:
        """Raises: Corrupt `artifact.corrupt`, Denied `key.unavailable`; what `out` raises."""
        expected = self._artifact.plain_bytes
        written = 0
        buffer = bytearray(_PIECE_BYTES)
        view = memoryview(buffer)
        try:
            opened = _Opened(ObjectSource(self._artifact, pipe), self._identity, self._header, self._payload_offset)
            decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
            # Across frames, so that whatever follows the first one is looked at: there must be nothing.
            with decompressor.stream_reader(cast("IO[bytes]", opened), read_across_frames=True, closefd=False) as native:
                while count := native.readinto(buffer):
                    written += count
                    if written > expected:
                        raise corrupt(self._artifact, f"it holds more than the {expected} bytes of its record")
                    out(view[:count])
        except NoIdentityMatches as exc:
            raise error("key.unavailable", "the coordinator sealed the artifact's key to somebody else") from exc
        except AgeError as exc:
            raise corrupt(self._artifact, f"its encryption is not intact: {exc}") from exc
        except zstandard.ZstdError as exc:
            raise corrupt(self._artifact, f"its compression is not intact: {exc}") from exc
        if written != expected:
            raise corrupt(self._artifact, f"it holds {written} bytes and should hold {expected}")


Copy = EncryptedCopy | PlainCopy


class _Opened:
    """A readable file of the compressed dump, as zstandard wants it."""

    def __init__(self, source: ObjectSource, identity: Identity, header: bytes, payload_offset: int) -> None:
        self._source = source
        self._skip = payload_offset
        """Bytes of the object's own header that are still to come; `header` stands in their place."""
        self._decryptor = Decryptor([identity])
        self._ready = memoryview(self._decryptor.feed(header))
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; none at the end, which has proved authentic."""
        while not self._ready and not self._ended:
            self._ready = memoryview(self._more())
        count = len(self._ready) if size < 0 else min(size, len(self._ready))
        piece, self._ready = bytes(self._ready[:count]), self._ready[count:]
        return piece

    def _more(self) -> bytes:
        chunk = self._source.next()
        if not chunk:
            self._ended = True
            return self._decryptor.finish()
        payload = memoryview(chunk)[self._skip :]
        self._skip -= len(chunk) - len(payload)
        return self._decryptor.feed(payload)


def corrupt(artifact: ArtifactRecord, what: str) -> StrongroomError:
    return error("artifact.corrupt", f"artifact {artifact.name!r} is damaged: {what}")
