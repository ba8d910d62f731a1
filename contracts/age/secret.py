"""Secret bytes that do not show themselves by accident."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn, Self


class Secret:
    """An immutable value whose bytes appear in no repr, format, log line, copy, pickle or JSON.

    Equality takes the same time wherever two values differ.  Values of different classes are never equal.  Python can
    neither lock nor wipe the memory of `bytes`, so keep such values for as short a time as the work needs.
    """

    __slots__ = ("_raw",)
    _raw: bytes

    def __init__(self, raw: bytes) -> None:
        object.__setattr__(self, "_raw", bytes(raw))

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be set: the value is frozen")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: the value is frozen")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(<hidden>)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret) or type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._raw, other._raw)

    def __hash__(self) -> int:
        return hash((type(self), self._raw))

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled: it would leave the process in the clear")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self
