"""An artifact on its way back: taken in as a whole, onto disk, before any server sees a byte of it.

A server gives a restore up when it gets nothing for 5 s, which a slow store does not care about; and from 2.15 on the stream
is there, half, while the archive arrives.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from agents.drivers.members import read_members
from agents.drivers.nats.dump import DESCRIPTION
from agents.drivers.nats.s2_frames import NATSARC, TAR, FrameWalker
from agents.drivers.nats.streams import StreamState
from agents.drivers.pipes import PipeReader
from agents.drivers.unnamed_file import UnnamedFile
from contracts.errors import Corrupt

_PART: Final = re.compile(r"stream\.(arc|tar)\.s2\.(\d{6})")


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """`backup.json`."""

    config: dict[str, Any]
    state: StreamState
    raw_state: dict[str, Any]
    """As the server wrote it."""

    @property
    def name(self) -> str:
        return str(self.config.get("name", ""))


class _Written(msgspec.Struct, frozen=True, kw_only=True):
    config: dict[str, Any]
    state: dict[str, Any]


def describe(written: dict[str, Any] | bytes) -> Description:
    """Raises: Corrupt `artifact.corrupt`."""
    try:
        if isinstance(written, bytes):
            found = msgspec.json.decode(written, type=_Written)
        else:
            found = msgspec.convert(written, _Written)
        state = msgspec.convert(found.state, StreamState)
    except (msgspec.DecodeError, msgspec.ValidationError) as exc:
        raise Corrupt("artifact.corrupt", f"{DESCRIPTION} cannot be understood: {exc}") from exc
    return Description(config=found.config, state=state, raw_state=found.state)


class Archive:
    """A stream's snapshot on disk, and what it is of."""

    def __init__(self, work_dir: Path) -> None:
        self.file = UnnamedFile(work_dir)
        self.format = ""
        """`natsarc1` or `tar`."""
        self._description: Description | None = None

    @property
    def description(self) -> Description:
        assert self._description is not None
        return self._description

    def describe(self, description: Description) -> None:
        self._description = description

    async def take_in(self, pipe: PipeReader, stream: str) -> None:
        """All of the artifact of that stream.  Raises: Corrupt `artifact.corrupt`; RunFailed `spool.full`."""
        frames = FrameWalker()
        number = 0
        async for name, data in read_members(pipe):
            if self._description is None:
                self._describe_first(name, data, stream)
                continue
            number += 1
            part = _PART.fullmatch(name)
            if part is None or int(part[2]) != number:
                raise Corrupt("artifact.corrupt", f"the archive of stream {stream!r} has {name!r} in place of part {number}")
            try:
                frames.feed(data)
            except ValueError as exc:
                raise Corrupt("artifact.corrupt", f"the snapshot of stream {stream!r} is damaged: {exc}") from exc
            if part[1] != {NATSARC: "arc", TAR: "tar"}.get(frames.archive):
                raise Corrupt("artifact.corrupt", f"the snapshot of stream {stream!r} is not of the kind that {name!r} says")
            await self.file.append(data)
        if not frames.is_whole:
            raise Corrupt("artifact.corrupt", f"the snapshot of stream {stream!r} ends in the middle")
        self.format = frames.archive

    def _describe_first(self, name: str, data: bytes, stream: str) -> None:
        if name != DESCRIPTION:
            raise Corrupt("artifact.corrupt", f"the archive of stream {stream!r} begins with {name!r}, not {DESCRIPTION}")
        described = describe(data)
        if described.name != stream:
            what = f"the archive of stream {stream!r} is one of stream {described.name!r}"
            raise Corrupt("artifact.corrupt", what)
        self._description = described

    def close(self) -> None:
        self.file.close()
