"""Server-sent events as bytes, both ways.  Source: WHATWG HTML, "Server-sent events".

Streams of Strongroom name every event, and end with one called `end`, which says why.  What ends without one was cut off:
whoever reads it connects again and says in `Last-Event-ID` what it saw last.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final

import msgspec

from contracts.errors import ErrorInfo, StrongroomError, error, from_info
from contracts.wire import Decoder

MEDIA_TYPE: Final = "text/event-stream"
END: Final = "end"
HEARTBEAT: Final = b": still here\n\n"
_MOST_PENDING: Final = 16 * 1024 * 1024
"""Bytes of one event that a reader puts up with."""
_LINE_END: Final = re.compile(r"\r\n|\r|\n")


class Frame(msgspec.Struct, frozen=True):
    """One event of a stream."""

    event: str
    data: str
    id: str = ""


class EndReason(StrEnum):
    ENDED = "ended"
    """There is no more to come."""
    STOPPING = "stopping"
    """The coordinator stops: connect again, to it or to another one."""
    REFUSED = "refused"
    """The token has ended."""
    SLOW = "slow"
    """The reader took nothing for too long: connect again and go on from where it was."""
    FAILED = "failed"
    """Something went wrong here."""


class StreamEnd(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The last event of a stream."""

    reason: EndReason
    message: str = ""
    code: str = ""
    """Of the error, where it is one."""

    @property
    def error(self) -> StrongroomError | None:
        """What a reader raises; None where it reads on or is done."""
        if self.reason in (EndReason.REFUSED, EndReason.FAILED):
            return from_info(ErrorInfo(code=self.code or "internal", message=self.message))
        return None


end_decoder: Decoder[StreamEnd] = Decoder(StreamEnd)


def encode_frame(frame: Frame) -> bytes:
    """Data of several lines arrive with `\\n` between them, whatever was between them before."""
    lines = [f"id: {frame.id}"] if frame.id else []
    lines.append(f"event: {frame.event}")
    lines += [f"data: {line}" for line in _LINE_END.split(frame.data)]
    return ("\n".join(lines) + "\n\n").encode()


class FrameDecoder:
    """Frames out of bytes as they arrive, cut anywhere."""

    def __init__(self) -> None:
        self._pending = b""
        self._event, self._id = "", ""
        self._data: list[str] = []
        self.retry_s: float | None = None
        """How long the sender wants its reader to wait before it connects again; None: it did not say."""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete.  Raises: StrongroomError `input.malformed` for one without an end."""
        self._pending += data
        # A carriage return at the end may be half of a line end: it waits for its other half.
        *lines, self._pending = re.split(rb"\r\n|\n|\r(?!\Z)", self._pending)
        if len(self._pending) + sum(map(len, self._data)) > _MOST_PENDING:
            raise error("input.malformed", f"an event of the stream has more than {_MOST_PENDING} bytes")
        return [frame for line in lines if (frame := self._take(line.decode(errors="replace"))) is not None]

    def _take(self, line: str) -> Frame | None:
        if not line:
            frame = Frame(self._event or "message", "\n".join(self._data), self._id) if self._data else None
            self._event, self._data = "", []
            return frame
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isdecimal():
            self.retry_s = int(value) / 1000
        return None
