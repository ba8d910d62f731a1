"""Dumps and restores of the tests: pipes whose other ends are threads instead of tools."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Self

from agents.drivers.base import PlannedArtifact
from contracts.errors import StrongroomError
from contracts.records import Attributes

_WRITE_BYTES = 64 * 1024


def planned(name: str = "orders") -> PlannedArtifact:
    return PlannedArtifact(name=name, kind="database", format="raw", suffix="raw.zst.age", estimate_bytes=0)


class PipeDump:
    """A dump of the given pieces.  `failure` is what `finish` raises, as if the tool had ended badly after the last byte."""

    def __init__(self, pieces: bytes | Iterable[bytes], *, failure: StrongroomError | None = None) -> None:
        self._pieces = [pieces] if isinstance(pieces, bytes) else pieces
        self._failure = failure
        self.fd, self._write_fd = os.pipe()
        self.written_bytes = 0
        self.broken = False
        """Whether the reader went away before all was written."""
        self.finished_with: tuple[int, bytes, bytes] | None = None
        self._writer = threading.Thread(target=self._write, name="test-dump")
        self._writer.start()

    def _write(self) -> None:
        try:
            for piece in self._pieces:
                view = memoryview(piece)
                while view:
                    count = os.write(self._write_fd, view[:_WRITE_BYTES])
                    self.written_bytes += count
                    view = view[count:]
        except BrokenPipeError:
            self.broken = True
        finally:
            os.close(self._write_fd)

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        self.finished_with = (plain_bytes, head, tail)
        await self.ending()
        if self._failure is not None:
            raise self._failure
        return ["a warning of the tool"]

    async def ending(self) -> None:
        """For tests that look at things just then."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)
        self._writer.join()


class CollectingSink:
    """Takes what is restored.  `dies_after` bytes it stops reading, as a tool that fails."""

    def __init__(self, *, dies_after: int | None = None, failure: StrongroomError | None = None) -> None:
        self._read_fd, self.fd = os.pipe()
        self._dies_after = dies_after
        self._failure = failure
        self._digest = hashlib.sha256()
        self.received_bytes = 0
        self.finished = self.input_closed = False
        self.may_read = threading.Event()
        self.may_read.set()
        self._reader = threading.Thread(target=self._read, name="test-sink")
        self._reader.start()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def _read(self) -> None:
        with contextlib.closing(_Descriptor(self._read_fd)):
            while self.may_read.wait() and (data := os.read(self._read_fd, 1024 * 1024)):
                self._digest.update(data)
                self.received_bytes += len(data)
                if self._dies_after is not None and self.received_bytes >= self._dies_after:
                    return

    def close_input(self) -> None:
        assert not self.input_closed
        self.input_closed = True
        os.close(self.fd)

    async def finish(self) -> Attributes:
        assert self.input_closed
        self._reader.join()
        self.finished = True
        if self._failure is not None:
            raise self._failure
        return {"bytes": self.received_bytes}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.may_read.set()
        if not self.input_closed:
            os.close(self.fd)
        self._reader.join()


class _Descriptor:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        os.close(self._fd)


def repeated(block: bytes, times: int) -> Iterator[bytes]:
    for _ in range(times):
        yield block
