"""What a verb is: its name, its types, who may call it, and where it is found over HTTP."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar

import msgspec

from contracts.access import Role

Q = TypeVar("Q")
A = TypeVar("A")


class Nothing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No arguments, or nothing to say."""


VERBS: Final[dict[str, Verb[Any, Any]]] = {}
"""All verbs by name."""


class Verb(Generic[Q, A]):
    """A verb's name and the types of its request and answer.

    `route` is its place in the HTTP API, below `/api/v1`.  Placeholders are fields of the request; the other fields are
    the query of a GET or DELETE and the JSON body of anything else.
    """

    def __init__(
        self, name: str, request: type[Q], answer: type[A], doc: str, *, role: Role, route: str, hands_out: bool = False
    ) -> None:
        """`hands_out`: the answer opens what was backed up, so that calling it is written down like a change."""
        self.name = name
        self.request = request
        self.answer = answer
        self.doc = doc
        self.role = role
        self.method, self.path = route.split(" ")
        self._hands_out = hands_out
        VERBS[name] = self

    @property
    def changes(self) -> bool:
        """Whether calling it may change anything."""
        return self.method != "GET"

    @property
    def is_audited(self) -> bool:
        """Whether calls are written into the audit log."""
        return self.changes or self._hands_out
