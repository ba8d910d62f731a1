"""The second worker thread of a download: compressed bytes → zstd → the restore tool.

The tool never sees the last bytes before everything else is known to be right.  A tool that lacks them does not take
what it got for a whole dump.
"""

from __future__ import annotations

from typing import Final

import zstandard

from agents.datapath.channel import Channel
from agents.datapath.fd_writer import FdWriter
from agents.datapath.meter import TransferMeter
from agents.datapath.opening import corrupt
from agents.datapath.zstd_blocks import BlockSplitter
from contracts.records import ArtifactRecord

_MAX_WINDOW_BYTES: Final = 128 * 1024 * 1024
"""What the `zstd` program accepts by default; ours are 8 MiB at most."""


class ArtifactUnpacker:
    """Unpacks one artifact: one frame, complete, of the size in the record."""

    def __init__(self, artifact: ArtifactRecord, writer: FdWriter, meter: TransferMeter) -> None:
        self._artifact = artifact
        self._splitter = BlockSplitter()
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj()
        self._writer = writer
        self._meter = meter
        self._held_back = b""
        self._plain_bytes = 0

    def unpack_all(self, opened: Channel[bytes]) -> None:
        """Returns when the tool has the last byte.  Raises: Stopped, ToolGoneError; Corrupt `artifact.corrupt`."""
        while (compressed := opened.get()) is not None:
            self._unpack(compressed)
        self._check_end()
        self._writer.write(self._held_back)
        self._meter.plain_bytes = self._plain_bytes

    def _unpack(self, compressed: bytes) -> None:
        for piece in self._splitter.split(memoryview(compressed)):
            if self._decompressor.eof:
                raise corrupt(self._artifact, "bytes follow its compressed frame")
            try:
                plain = self._decompressor.decompress(piece)
            except zstandard.ZstdError as exc:
                raise corrupt(self._artifact, "its compression is not intact", str(exc)) from exc
            if plain:
                self._hand_on(plain)

    def _hand_on(self, plain: bytes) -> None:
        self._plain_bytes += len(plain)
        if self._plain_bytes > self._artifact.plain_bytes:
            raise corrupt(self._artifact, f"it holds more than the {self._artifact.plain_bytes} bytes of its record")
        self._writer.write(self._held_back)
        self._meter.plain_bytes = self._plain_bytes - len(plain)
        self._held_back = plain

    def _check_end(self) -> None:
        if not self._decompressor.eof:
            raise corrupt(self._artifact, "its compressed frame is not complete")
        if self._decompressor.unused_data:
            raise corrupt(self._artifact, "bytes follow its compressed frame")
        if self._plain_bytes != self._artifact.plain_bytes:
            held, should = self._plain_bytes, self._artifact.plain_bytes
            raise corrupt(self._artifact, f"it holds {held} bytes and should hold {should}")
