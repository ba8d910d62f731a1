"""What the OpenAPI document says of a route: the verbs' operations are made from `VERBS`, all others are written down.

A module with routes of its own has `OPERATIONS: Sequence[Operation]` beside the function that makes its handlers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from contracts.access import Role

API_PREFIX: Final = "/api/v1"
"""Below it all that programs use; a change that would break one of them gets another number."""


class Unset:
    """No default, no example: apart from None, which is one."""


UNSET: Final = Unset()

Place = Literal["path", "query", "header"]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A part of the path, of the query, or a header.  Those of the path are always needed."""

    name: str
    type: Any
    """As msgspec understands it, such as `str`, `list[RunState]` or `Annotated[int, Meta(ge=1)]`; lists are repeated."""
    doc: str = ""
    place: Place = "query"
    default: Any = UNSET
    """Without one, the parameter is needed, unless it is a header."""
    example: Any = UNSET


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A status that means success, and what comes with it."""

    status: int = 200
    doc: str
    type: Any = UNSET
    """The type of the JSON; UNSET for bytes or for nothing."""
    media_type: str = "application/json"
    """Empty: no body."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names with what they say."""
    example: Any = UNSET


@dataclass(frozen=True, kw_only=True)
class Operation:
    """A method on a path."""

    name: str
    """Unique, such as `backup.list`; verbs have theirs."""
    method: str
    path: str
    """Below `API_PREFIX`, with `{placeholders}`."""
    summary: str
    """A line."""
    doc: str = ""
    role: Role | None = Role.VIEWER
    """The least that may; None needs no token."""
    parameters: Sequence[Parameter] = ()
    request: Any = UNSET
    """The type of the JSON body."""
    request_example: Any = UNSET
    answers: Sequence[Answer] = ()
    refusals: Sequence[int] = ()
    """Statuses of problems that can occur beside those of every route (`daemon.http.openapi.refusals_of`)."""

    @property
    def tag(self) -> str:
        """What it is listed under."""
        return self.name.partition(".")[0]
