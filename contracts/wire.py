"""JSON to Structs and back: one place where bytes from outside become values that can be trusted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import msgspec

from contracts.errors import InvalidInput

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(value: Any) -> bytes:
    """Compact JSON, UTF-8; times in RFC 3339 with `Z`."""
    return _encoder.encode(value)


class Decoder(Generic[T]):
    """Decodes one type of message; build it once per subject or bucket.

    Unknown fields are ignored, so that a newer program may add some; everything known is checked.
    """

    def __init__(self, type_: Any) -> None:
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(type_)

    def decode(self, data: bytes) -> T:
        """Raises: InvalidInput `input.malformed` for bytes that are not JSON, `input.invalid` with the field's path."""
        try:
            return self._decoder.decode(data)
        except msgspec.ValidationError as exc:
            message, _, path = str(exc).partition(" - at `")
            raise InvalidInput("input.invalid", message, field=path.rstrip("`").removeprefix("$.") or None) from exc
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise InvalidInput("input.malformed", f"the message is not JSON of the expected shape: {exc}") from exc


def utc_now() -> datetime:
    """The wall clock, aware, in whole microseconds.  Passed into everything that decides by time."""
    return datetime.now(UTC)
