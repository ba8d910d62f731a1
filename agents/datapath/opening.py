"""The worker thread of a download: stored bytes → age → zstd → the restore tool.

The tool never sees a byte that was not authentic at its place.  And it never sees the last ones before everything else is
known to be right, down to the digest in the record: an attacker who can write to the bucket can encrypt to our
recipients as well as we can, so a file that opens is not yet the file that was stored.  A tool that lacks its last bytes
does not take what it got for a whole dump.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

import zstandard

from agents.datapath.channel import Channel
from agents.datapath.fd_writer import FdWriter
from agents.datapath.meter import TransferMeter
from agents.datapath.zstd_blocks import BlockSplitter
from contracts.age import AgeError, Decryptor, Identity, NoIdentityMatches
from contracts.asks import DownloadGrant
from contracts.errors import StrongroomError, error
from contracts.records import ArtifactRecord

_MAX_WINDOW_BYTES: Final = 128 * 1024 * 1024
"""What the `zstd` program accepts by default; ours are 8 MiB at most."""


class ArtifactOpener:
    """Opens one artifact as its bytes arrive, the first byte of the object first."""

    def __init__(
        self, artifact: ArtifactRecord, grant: DownloadGrant, identity: Identity, writer: FdWriter, meter: TransferMeter
    ) -> None:
        self._artifact = artifact
        self._header = grant.header
        self._skip = grant.payload_offset
        """Bytes of the object's own header that are still to come; the grant's header stands in their place."""
        self._decryptor = Decryptor([identity])
        self._splitter = BlockSplitter()
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj()
        self._sha256 = hashlib.sha256()
        self._writer = writer
        self._meter = meter
        self._held_back = b""
        self._plain_bytes = 0

    def open_all(self, chunks: Channel[bytes], taken: Callable[[], object]) -> None:
        """Returns when the tool has the last byte.  `taken` is called for each chunk taken from the channel.

        Raises: Stopped, ToolGoneError; Corrupt `artifact.corrupt`; Denied `key.unavailable` for a grant to another node.
        """
        try:
            self._decrypted(self._decryptor.feed(self._header))
            while (chunk := chunks.get()) is not None:
                taken()
                self._sha256.update(chunk)
                payload = memoryview(chunk)[self._skip :]
                self._skip -= len(chunk) - len(payload)
                self._decrypted(self._decryptor.feed(payload))
            self._decrypted(self._decryptor.finish())
        except NoIdentityMatches as exc:
            raise error("key.unavailable", "the artifact's key was sealed to another node than this one") from exc
        except AgeError as exc:
            raise self._corrupt(f"its encryption is not intact: {exc}", exc.code) from exc
        except zstandard.ZstdError as exc:
            raise self._corrupt("its compression is not intact", str(exc)) from exc
        self._check_end()
        self._writer.write(self._held_back)
        self._meter.plain_bytes = self._plain_bytes

    def _decrypted(self, compressed: bytes) -> None:
        for piece in self._splitter.split(memoryview(compressed)):
            if self._decompressor.eof:
                raise self._corrupt("bytes follow its compressed frame")
            self._hand_on(self._decompressor.decompress(piece))

    def _hand_on(self, plain: bytes) -> None:
        if not plain:
            return
        self._plain_bytes += len(plain)
        if self._plain_bytes > self._artifact.plain_bytes:
            raise self._corrupt(f"it holds more than the {self._artifact.plain_bytes} bytes of its record")
        self._writer.write(self._held_back)
        self._meter.plain_bytes = self._plain_bytes - len(plain)
        self._held_back = plain

    def _check_end(self) -> None:
        if not self._decompressor.eof:
            raise self._corrupt("its compressed frame is not complete")
        if self._decompressor.unused_data:
            raise self._corrupt("bytes follow its compressed frame")
        if self._plain_bytes != self._artifact.plain_bytes:
            raise self._corrupt(f"it holds {self._plain_bytes} bytes and should hold {self._artifact.plain_bytes}")
        if self._sha256.hexdigest() != self._artifact.sha256:
            raise self._corrupt("its SHA-256 is not the one of its record")

    def _corrupt(self, what: str, detail: str | None = None) -> StrongroomError:
        return error("artifact.corrupt", f"artifact {self._artifact.name!r} is damaged: {what}", detail=detail)
